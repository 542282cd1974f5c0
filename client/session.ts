/**
 * A write session under construction: entries that survive together or not at all.
 *
 * `put` and its sisters only buffer, in the frame that will be sent; nothing leaves before `end()`, and the receipt of
 * `end()` speaks for all entries. A session ends once: by `end()` or by `abandon()`. An entry that is refused with an
 * error leaves the session as it was before.
 */
import { PUT_OVERHEAD_BYTES, REMOVE_OVERHEAD_BYTES, STORAGE_ENTRY_BYTES } from '../protocol/entry.ts'
import {
  type Key,
  type Space,
  STORAGE_CODES,
  type U64,
  type Version,
  writePut,
  writeRemove,
  writeStorageEntry,
} from '../protocol/entry-encoder.ts'
import { SESSION_BYTES_LIMIT, SESSION_ENTRIES_LIMIT } from '../protocol/limits.ts'
import { abortedBeforeSending, ClientError, invalidValue } from './client-error.ts'
import { checkU64, checkVersion, type Entry, keyLength } from './entry-checks.ts'
import { FrameDraft } from './frame-buffer.ts'
import { type CallLimits, type CallOptions, callLimits } from './options.ts'
import type { Producer } from './producer.ts'
import type { PendingReceipt, Receipt } from './receipt.ts'
import type { ValueEncoder } from './values.ts'

export class Session<Value = Uint8Array> {
  readonly #producer: Producer
  readonly #encodeValue: ValueEncoder
  readonly #options: CallOptions
  readonly #deadlineMsDefault: number
  readonly #draft = new FrameDraft()
  /** Why entries are refused; undefined while the session is open. */
  #endedBy: 'end()' | 'abandon()' | undefined
  /** Set by the first entry: either all entries of a session carry a version or none does. */
  #explicitVersions: boolean | undefined

  /** Applications get one from `channel.beginSession()`. */
  constructor(of: { producer: Producer; encodeValue: ValueEncoder; options: CallOptions; deadlineMsDefault: number }) {
    this.#producer = of.producer
    this.#encodeValue = of.encodeValue
    this.#options = of.options
    this.#deadlineMsDefault = of.deadlineMsDefault
  }

  /** Entries so far. */
  get entryCount(): number {
    return this.#draft.entryCount
  }

  /** Bytes so far, as they will lie in the log. A session takes at most 16 MiB. */
  get bytes(): number {
    return this.#draft.bodyBytes
  }

  put(storage: U64, key: Key, value: Value, version?: Version): this {
    checkU64('storage', storage)
    const keyBytes = keyLength(key)
    const bytes = this.#encodeValue(value)
    const space = this.#accept(PUT_OVERHEAD_BYTES + keyBytes + bytes.length, version)
    this.#draft.at = writePut(space, this.#draft.at, { storage, key, keyBytes, value: bytes, version })
    return this
  }

  remove(storage: U64, key: Key, version?: Version): this {
    checkU64('storage', storage)
    const keyBytes = keyLength(key)
    const space = this.#accept(REMOVE_OVERHEAD_BYTES + keyBytes, version)
    this.#draft.at = writeRemove(space, this.#draft.at, { storage, key, keyBytes, version })
    return this
  }

  addStorage(storage: U64, version?: Version): this {
    return this.#storageEntry('add_storage', storage, version)
  }

  removeStorage(storage: U64, version?: Version): this {
    return this.#storageEntry('remove_storage', storage, version)
  }

  truncateStorage(storage: U64, version?: Version): this {
    return this.#storageEntry('truncate_storage', storage, version)
  }

  add(entry: Entry<Value>): this {
    if (typeof entry !== 'object' || entry === null) throw invalidValue(`an entry: found ${String(entry)}`)
    switch (entry.op) {
      case 'put':
        return this.put(entry.storage, entry.key, entry.value, entry.version)
      case 'remove':
        return this.remove(entry.storage, entry.key, entry.version)
      case 'add_storage':
      case 'remove_storage':
      case 'truncate_storage':
        return this.#storageEntry(entry.op, entry.storage, entry.version)
      default:
        // an application in plain JavaScript can get here
        throw invalidValue(
          `an entry: found op ${String((entry as { op: unknown }).op)}, expected put, remove or one of a storage`,
        )
    }
  }

  /**
   * Sends the session. The deadline of its receipt counts from here.
   *
   * @throws SESSION_EMPTY, SESSION_ENDED; ABORTED where the signal has fired; WINDOW_FULL, and the session stays open
   */
  end(): Receipt {
    this.#refuseUnlessReady()
    const limits = this.#limits()
    const explicitVersions = this.#explicitVersions === true
    const receipt = this.#producer.end(this.#draft, { explicitVersions, limits })
    this.#endedBy = 'end()'
    return receipt
  }

  /** Drops the session; nothing of it is sent. Does nothing if it was abandoned before. @throws SESSION_ENDED */
  abandon(): void {
    if (this.#endedBy === 'abandon()') return
    this.#refuseIfEnded()
    this.#endedBy = 'abandon()'
    this.#producer.frames.discard(this.#draft)
  }

  /** As `end()`, for a call that has found its room already and waits by itself. Internal. */
  submit(limits: CallLimits): PendingReceipt {
    this.#refuseUnlessReady()
    this.#endedBy = 'end()'
    return this.#producer.submit(this.#draft, { explicitVersions: this.#explicitVersions === true, limits, loud: true })
  }

  #limits(): CallLimits {
    const signal = this.#options.signal
    if (signal?.aborted) {
      this.abandon()
      throw abortedBeforeSending(signal)
    }
    return callLimits(this.#options, this.#deadlineMsDefault, this.#producer.clock)
  }

  #storageEntry(op: keyof typeof STORAGE_CODES, storage: U64, version: Version | undefined): this {
    checkU64('storage', storage)
    const space = this.#accept(STORAGE_ENTRY_BYTES, version)
    this.#draft.at = writeStorageEntry(space, this.#draft.at, { code: STORAGE_CODES[op], storage, version })
    return this
  }

  /** Checks all that can be wrong with one more entry, then makes room for it. */
  #accept(bytes: number, version: Version | undefined): Space {
    this.#refuseIfEnded()
    const draft = this.#draft
    if (draft.bodyBytes + bytes > SESSION_BYTES_LIMIT || draft.entryCount >= SESSION_ENTRIES_LIMIT) {
      throw tooLarge(draft, bytes)
    }
    const isExplicit = version !== undefined
    if (isExplicit) checkVersion(version)
    if (this.#explicitVersions === undefined) this.#explicitVersions = isExplicit
    else if (this.#explicitVersions !== isExplicit) throw mixedVersions(draft.entryCount, isExplicit)
    const space = this.#producer.frames.reserve(draft, bytes)
    draft.entryCount += 1
    return space
  }

  #refuseIfEnded(): void {
    if (this.#endedBy === undefined) return
    throw new ClientError('SESSION_ENDED', `Cannot use a session: found it ended by ${this.#endedBy}`, 'not-applied', {
      hint: 'begin another one with channel.beginSession()',
    })
  }

  #refuseUnlessReady(): void {
    this.#refuseIfEnded()
    if (this.#draft.entryCount > 0) return
    throw new ClientError(
      'SESSION_EMPTY',
      'Cannot end a session: found no entry, expected at least one',
      'not-applied',
      {
        hint: 'use abandon() for a session that is not wanted any more',
      },
    )
  }
}

function tooLarge(draft: FrameDraft, bytes: number): ClientError {
  return new ClientError(
    'SESSION_TOO_LARGE',
    `Cannot add an entry of ${bytes} bytes: found ${draft.entryCount} entries with ${draft.bodyBytes} bytes, expected at most ${SESSION_ENTRIES_LIMIT} entries and ${SESSION_BYTES_LIMIT} bytes in all`,
    'not-applied',
    { hint: 'split the session; the entries added so far are still in it' },
  )
}

function mixedVersions(index: number, isExplicit: boolean): ClientError {
  const [found, expected] = isExplicit ? ['a version', 'none'] : ['no version', 'one']
  return invalidValue(`entry ${index}: found ${found}, expected ${expected} as with the entries before it`)
}
