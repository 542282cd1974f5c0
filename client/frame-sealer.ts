/**
 * Writes the header in front of a finished body: what is the client's to say, and zeros where the node will stamp.
 *
 * Most of the 72 bytes are the same for every session of a producer, so they are copied from a template.
 */
import { assert } from '../protocol/assert.ts'
import { crc32Of } from '../protocol/crc32.ts'
import {
  encodeHeader,
  FLAG_EXPLICIT_VERSIONS,
  FRAME_HEADER_BYTES,
  FrameKind,
  HeaderOffset,
  headerCrcOf,
} from '../protocol/frame.ts'
import type { ProducerId } from '../protocol/ids.ts'
import type { FrameDraft } from './frame-buffer.ts'

const TWO_32 = 0x1_0000_0000

export class FrameSealer {
  readonly #seed: number
  readonly #template = Buffer.alloc(FRAME_HEADER_BYTES)

  /** @param seed `headerSeed` of the cluster and channel */
  constructor(seed: number, producer: ProducerId) {
    this.#seed = seed
    const blank = { flags: 0, bodyLength: 0, bodyCrc: 0, entryCount: 0, producerSequence: 0 }
    const unstamped = { termTag: 0, position: 0, epoch: 0n, term: 0n, firstMinor: 0n }
    encodeHeader(this.#template, 0, { kind: FrameKind.ENTRIES, producerId: producer, ...blank, ...unstamped }, seed)
  }

  seal(draft: FrameDraft, session: { sequence: number; explicitVersions: boolean }): void {
    const { space, start } = draft
    assert(space !== undefined && draft.entryCount > 0, 'a sealed draft has entries')
    const { buffer, view } = space
    const body = start + FRAME_HEADER_BYTES
    buffer.set(this.#template, start)
    if (session.explicitVersions) view.setUint16(start + HeaderOffset.flags, FLAG_EXPLICIT_VERSIONS, true)
    view.setUint32(start + HeaderOffset.bodyLength, draft.at - body, true)
    view.setUint32(start + HeaderOffset.bodyCrc, crc32Of(buffer, body, draft.at), true)
    view.setUint32(start + HeaderOffset.entryCount, draft.entryCount, true)
    view.setUint32(start + HeaderOffset.producerSequence, session.sequence >>> 0, true)
    view.setUint32(start + HeaderOffset.producerSequence + 4, (session.sequence / TWO_32) >>> 0, true)
    view.setUint32(start + HeaderOffset.headerCrc, headerCrcOf(buffer, start, this.#seed), true)
  }
}
