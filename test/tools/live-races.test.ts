/**
 * What a reader can meet on a live directory, made certain: a disk that shows a file first as it was a moment ago, and
 * then as it is. Whatever is only missing at the first look is no fault; what is still wrong at the second one is.
 */
import { join } from 'node:path'
import t from 'tap'
import { compareLogs } from '../../tools/compare-logs.ts'
import { inspectDirectory } from '../../tools/inspect-report.ts'
import { readLog } from '../../tools/read-log.ts'
import { verifyLog } from '../../tools/verify-log.ts'
import type { Disk, DiskFile } from '../../wal/disk.ts'
import { writeManifest } from '../../wal/manifest.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { ForgedLog, foreignTerm, mastership } from './forged-log.ts'

/** A part of a channel that is not yet written when it is looked at for the first time(s). */
interface Late {
  readonly channel: number
  readonly from: number
  readonly to: number
  /** Reads that touch it and do not see it. */
  looks: number
}

class LateDisk extends NodeDisk implements Disk {
  readonly #late: readonly Late[]

  constructor(late: readonly Late[]) {
    super()
    this.#late = late
  }

  override open(path: string, access: 'read' | 'write'): DiskFile {
    const file = super.open(path, access)
    const match = /channels\/(\d\d)\/([0-9a-f]{16})\.wal$/.exec(path)
    if (match === null) return file
    const [channel, base] = [Number(match[1]), Number.parseInt(match[2] ?? '', 16)]
    return {
      path,
      bytes: () => file.bytes(),
      write: (buffers, offset) => file.write(buffers, offset),
      syncData: () => file.syncData(),
      close: () => file.close(),
      read: (target, offset) => {
        const got = file.read(target, offset)
        for (const late of this.#late) {
          const from = Math.max(late.from - base - offset, 0)
          const to = Math.min(late.to - base - offset, got)
          if (late.channel !== channel || from >= to || late.looks === 0) continue
          late.looks--
          target.fill(0, from, to)
        }
        return got
      },
    }
  }
}

/** Ten epochs; `starts` are the positions of their sessions. */
function tenEpochs(directory: string, role: 'master' | 'replica' = 'master'): { log: ForgedLog; starts: number[] } {
  const log = new ForgedLog(join(directory, 'data'), { role })
  const starts: number[] = []
  for (let epoch = 1n; epoch <= 10n; epoch++) {
    starts.push(log.session(epoch))
    log.seal(epoch, { stored: epoch - 1n, durablePosition: starts.at(-1) ?? 0 })
  }
  return { log, starts }
}

t.test('a frame that was only half there is no damage at the second look, and is at the third', async (t) => {
  const { log, starts } = tenEpochs(temporaryDirectory(t))
  const { directory } = log
  const at = starts[4] ?? 0
  const late = (looks: number): LateDisk => new LateDisk([{ channel: 0, from: at + 80, to: at + 90, looks }])
  t.equal([...readLog({ directory, disk: late(1) }).entries()].length, 10)
  t.match(inspectDirectory(late(1), directory).channels, [{ error: undefined, tail: 'clean' }])
  t.same((await verifyLog({ directory, disk: late(1) })).findings, [])
  t.same((await compareLogs({ directories: [directory, directory], disk: late(1) })).partings, [])
  t.throws(() => readLog({ directory, disk: late(Number.POSITIVE_INFINITY) }), {
    code: 'LOG_DAMAGED',
    where: { offset: at },
  })
  t.match((await verifyLog({ directory, disk: late(Number.POSITIVE_INFINITY) })).findings, [
    { code: 'LOG_DAMAGED', where: { offset: at } },
  ])
})

t.test('each walk looks twice for itself, wherever in the course of things the race falls', async (t) => {
  for (const role of ['master', 'replica'] as const) {
    const { log, starts } = tenEpochs(temporaryDirectory(t), role)
    const at = starts[4] ?? 0
    for (let before = 0; before < 6; before++) {
      // seen, `before` times, then once not, and then always again
      let reads = 0
      class Blinking extends LateDisk {
        override open(path: string, access: 'read' | 'write'): DiskFile {
          const file = super.open(path, access)
          const blinks = path.endsWith('.wal')
          const read = (target: Uint8Array, offset: number): number => {
            const got = file.read(target, offset)
            if (blinks && offset <= at && at < offset + got && reads++ === before)
              target.fill(0, at - offset + 75, at - offset + 80)
            return got
          }
          return {
            path,
            bytes: () => file.bytes(),
            write: (b, o) => file.write(b, o),
            syncData: () => file.syncData(),
            close: () => file.close(),
            read,
          }
        }
      }
      const { directory } = log
      const disk = (): Blinking => {
        reads = 0
        return new Blinking([])
      }
      t.same((await verifyLog({ directory, disk: disk() })).findings, [], `verify ${before}`)
      t.same(
        (await compareLogs({ directories: [directory, directory], disk: disk() })).partings,
        [],
        `compare ${before}`,
      )
      t.equal(inspectDirectory(disk(), directory).channels[0]?.error, undefined, `inspect ${before}`)
    }
  }
})

t.test('channels that are looked at one after the other: a seal that was missing a moment ago', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'data'), { channels: 2 })
  log.seal(1n, { participants: 3n })
  log.seal(1n, { participants: 3n, channel: 1 })
  const from = log.end()
  log.seal(2n) // on channel 0 alone
  log.seal(3n, { participants: 3n })
  log.seal(3n, { participants: 3n, channel: 1 })
  log.session(4n, { channel: 1 })
  log.seal(4n, { channel: 1, stored: 3n })
  const { directory } = log
  // scanned once, walked once, and then looked for once more
  for (let looks = 0; looks <= 2; looks++) {
    const disk = new LateDisk([{ channel: 0, from, to: log.end(), looks }])
    const { findings, whole } = await verifyLog({ directory, disk })
    t.same(
      findings.map((finding) => finding.describe()),
      [],
      `${looks} looks`,
    )
    t.equal(whole, 4n, `${looks} looks`)
  }
  const lost = await verifyLog({
    directory,
    disk: new LateDisk([{ channel: 0, from, to: log.end(), looks: Number.POSITIVE_INFINITY }]),
  })
  t.match(lost.findings, [{ code: 'LOG_INCOMPLETE', message: /expected at least 3/ }])
})

t.test('a new mastership in the middle of it: everything is looked at again, under its history', async (t) => {
  const { log } = tenEpochs(temporaryDirectory(t))
  const { directory } = log
  const cut = log.end()
  const { manifest } = log
  const next = [...manifest.history, mastership(foreignTerm(2n), [cut], 11n, 10n)]
  let opened = 0
  class Switching extends NodeDisk {
    override open(path: string, access: 'read' | 'write'): DiskFile {
      // the manifest changes behind the back of whoever has just read it
      if (path.endsWith('.wal') && ++opened === 1) {
        writeManifest(new NodeDisk(), directory, { ...manifest, history: next })
        log.session(11n)
        log.seal(11n, { prev: 10n })
      }
      return super.open(path, access)
    }
  }
  const read = readLog({ directory, disk: new Switching() })
  t.equal(read.manifest.history.length, 2)
  t.equal(read.whole, 11n)

  writeManifest(new NodeDisk(), directory, manifest)
  log.setEnd(cut)
  opened = 0
  const report = await verifyLog({ directory, disk: new Switching() })
  t.same(report.findings, [])
  t.equal(report.whole, 11n)
})
