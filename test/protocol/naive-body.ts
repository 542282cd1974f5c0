/**
 * A second, naive reading of a body (WAL-20 to WAL-23): cut by cut, straight from the table, with no thought of speed.
 * Compared with `walkBody` and `decodeEntries` on random bodies.
 */
import type { LoggedEntry } from '../../protocol/entry.ts'

const STORAGE_OPS: ReadonlyMap<number, 'truncate_storage' | 'add_storage' | 'remove_storage'> = new Map([
  [7, 'truncate_storage'],
  [8, 'add_storage'],
  [9, 'remove_storage'],
])

/** The entries as written, zero versions included; undefined if the bytes are no body. */
export function naiveBody(body: Buffer, explicit: boolean): LoggedEntry[] | undefined {
  const entries: LoggedEntry[] = []
  let rest = body
  let short = false
  const take = (bytes: number): Buffer => {
    if (rest.length < bytes) short = true
    const taken = rest.subarray(0, bytes)
    rest = rest.subarray(bytes)
    return short ? Buffer.alloc(8) : taken
  }
  const u64 = (): bigint => take(8).readBigUInt64LE()
  const version = (): LoggedEntry['version'] => ({ major: u64(), minor: u64() })
  while (rest.length > 0) {
    const code = take(1)[0]!
    const storageOp = STORAGE_OPS.get(code)
    if (code === 1) {
      const keyBytes = take(4).readUInt32LE()
      const valueBytes = take(4).readUInt32LE()
      const storage = u64()
      const key = take(keyBytes)
      entries.push({ op: 'put', storage, key, version: version(), value: take(valueBytes) })
    } else if (code === 5) {
      const keyBytes = take(4).readUInt32LE()
      entries.push({ op: 'remove', storage: u64(), key: take(keyBytes), version: version() })
    } else if (storageOp !== undefined) entries.push({ op: storageOp, storage: u64(), version: version() })
    else return undefined
    if (short) return undefined
  }
  const allZero = entries.every((e) => e.version.major === 0n && e.version.minor === 0n)
  return explicit || allZero ? entries : undefined
}
