/**
 * `npm run bench:catch-up`: how fast a replica that was away catches up while writes go on, held against the disk's own
 * speed in the same run, and what the writers notice.
 *
 * One run: the disk alone; a master loaded while its replica is stopped; writers while it is away; writers and the catch-up;
 * writers while it is level, which is what they are used to; and writers alone and the disk again, since machines drift. All of it on one
 * machine: the two nodes and the writers share its cores, unless the replica is told to yield them, and one disk unless
 * --replica-dir names another. With --bare the same is asked of bare programs (catch-up-bare.ts).
 */
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError, Option } from 'commander'
import { asError } from '../protocol/errors.ts'
import { GIB, MIB, SEGMENT_BYTES_DEFAULT } from '../protocol/limits.ts'
import { measureBare } from './catch-up-bare.ts'
import { type CatchUpFigures, renderReport, summarise } from './catch-up-report.ts'
import { endChild, killChildren, nextMessage, startChild, yieldProcessors } from './child-process.ts'
import { measureDisk } from './disk-speed.ts'
import { cpuMeter } from './process-usage.ts'
import { makeScratch, type Scratch } from './scratch.ts'
import { removeOnSignal } from './signals.ts'
import type { NodeOrder, ReplicaProgress } from './travertine-node.ts'
import { WriterWatch } from './writer-watch.ts'

const NODE = new URL('./travertine-node.js', import.meta.url)
/** The longest part is the load, on a disk that takes 20 MB/s. */
const PART_MS_MAX = 300_000
const POLL_MS = 20
/** Fewer epochs behind than this is level: what is on its way while writes go on. */
const LEVEL_EPOCHS = 16
/** What the disk measurement writes at most. */
const DISK_BYTES_MAX = GIB
/** Prepared, and not filled. */
const SEGMENTS = 4

interface CommandOptions {
  readonly json: boolean
  readonly bare: boolean
  readonly gib: number
  readonly writers: number
  readonly seconds: number
  readonly dir?: string
  readonly replicaDir?: string
  readonly replicaYields: boolean
  readonly profile?: string
}

await main()

async function main(): Promise<void> {
  const options = buildCommand().parse().opts<CommandOptions>()
  const scratches: Scratch[] = []
  removeOnSignal(scratches)
  try {
    const { gib, dir, replicaDir } = options
    const bytes = gib * GIB + diskBytes(gib) + SEGMENTS * segmentBytes(gib)
    scratches.push(makeScratch(dir, replicaDir === undefined ? 2 * bytes : bytes, { place: '--dir', amount: '--gib' }))
    if (replicaDir !== undefined)
      scratches.push(makeScratch(replicaDir, bytes, { place: '--replica-dir', amount: '--gib' }))
    for (const warning of scratches.flatMap(({ warnings }) => warnings)) say(`warning: ${warning}`)
    const report = summarise(await run(options, scratches[0]!.path, scratches.at(-1)!.path)) // the first is made above
    const text = `${renderReport(report)}\n`
    if (options.json) {
      process.stderr.write(text)
      process.stdout.write(`${JSON.stringify(report)}\n`)
    } else process.stdout.write(text)
  } catch (error) {
    process.stderr.write(`${asError(error).message}\n`)
    process.exitCode = 1
    killChildren()
  }
  for (const scratch of scratches) scratch.remove()
}

function buildCommand(): Command {
  return new Command('npm run bench:catch-up --')
    .description('measures how fast a replica that was stopped catches up while writes go on')
    .option('--json', 'end with one line of JSON on stdout; the text goes to stderr', false)
    .option(
      '--bare',
      'two bare programs that copy a file instead of two nodes: what it costs on this machine at least',
      false,
    )
    .option('--gib <n>', 'GiB by which it is behind', positive, 5)
    .option(
      '--writers <n>',
      'sessions in flight while it catches up, each one small put that waits for STORED',
      count,
      1,
    )
    .option('--seconds <s>', 'how long the writers are measured before and after', positive, 5)
    .option('--dir <path>', 'where to write, on a real disk; default: the temporary directory of the system')
    .option('--replica-dir <path>', "the replica's place, if it is another one")
    .addOption(
      new Option(
        '--replica-yields',
        'it gets what the master and the writers leave of the processors: as near to a machine of its own as one gets here',
      )
        .default(false)
        .conflicts('bare'),
    )
    .addOption(new Option('--profile <dir>', 'leave a CPU profile of each thread there').conflicts('bare'))
}

function run(options: CommandOptions, place: string, replicaPlace: string): Promise<CatchUpFigures> {
  if (!options.bare) return measure(options, place, replicaPlace)
  const { gib, writers, seconds } = options
  const sizes = { bytes: Math.ceil(gib * GIB), diskBytes: diskBytes(gib) }
  return measureBare({ place, replicaPlace, ...sizes, writers, seconds, msMax: PART_MS_MAX, say })
}

async function measure(options: CommandOptions, place: string, replicaPlace: string): Promise<CatchUpFigures> {
  const { gib, writers, seconds, replicaYields, profile } = options
  const diskBefore = measureDisk(replicaPlace, diskBytes(gib))
  const shared = {
    clusterId: randomUUID(),
    channels: 1,
    segmentBytes: segmentBytes(gib),
    segmentsAhead: 2,
    isWatched: false,
  }
  const replicaOrder: NodeOrder = { ...shared, directory: join(replicaPlace, 'replica'), role: 'replica', replicas: [] }
  const startReplica = async (order: NodeOrder, profiles?: string): Promise<StartedNode> => {
    const started = await startNode('replica', order, profiles)
    if (replicaYields) yieldProcessors(started.child)
    return started
  }
  const first = await startReplica(replicaOrder)
  const replicas = [`127.0.0.1:${first.port}`]
  const masterOrder: NodeOrder = { ...shared, directory: join(place, 'master'), role: 'master', replicas }
  const master = await startNode('master', masterOrder, profile)
  await untilProgress(master.child, ({ isStreaming }) => isStreaming)
  await endChild(first.child)

  say(`loading ${gib} GiB`)
  const order = { address: `127.0.0.1:${master.port}`, loadBytes: gib * GIB, writers }
  const writer = await WriterWatch.start(order, PART_MS_MAX)
  say('writers, the replica away')
  const away = await writer.stretch(seconds)
  await untilProgress(master.child, ({ lagBytes = 0 }) => lagBytes >= gib * GIB) // the master counts once a second
  const { lagBytes = 0 } = await progressOf(master.child)

  say('the replica is back')
  const replica = await startReplica({ ...replicaOrder, port: first.port, isBack: true }, profile)
  await untilProgress(master.child, ({ isStreaming }) => isStreaming)
  await writer.figures()
  const used = { master: cpuMeter(master.child), replica: cpuMeter(replica.child) }
  const beginMs = performance.now()
  await untilProgress(master.child, ({ lagEpochs = Number.POSITIVE_INFINITY }) => lagEpochs < LEVEL_EPOCHS)
  const lagSeconds = (performance.now() - beginMs) / 1000
  const caughtUp = {
    bytes: lagBytes,
    seconds: lagSeconds,
    cpuSeconds: { master: used.master(), replica: used.replica() },
  }
  const during = await writer.figures()
  say('writers, the replica level')
  const level = await writer.stretch(seconds)
  say('writers, the replica away again')
  await endChild(replica.child)
  const awayAgain = await writer.stretch(seconds)
  await writer.end()
  await endChild(master.child)
  const disks = [diskBefore, measureDisk(replicaPlace, diskBytes(gib))]
  return { disks, caughtUp, away: [away, awayAgain], during, level }
}

interface StartedNode {
  readonly child: ChildProcess
  readonly port: number
}

async function startNode(name: string, order: NodeOrder, profile?: string): Promise<StartedNode> {
  const child = startChild(NODE, [JSON.stringify(order)], profile)
  const { port } = await nextMessage(child, `the ${name}`, PART_MS_MAX)
  return { child, port: port as number } // as travertine-node.ts sends it
}

async function progressOf(master: ChildProcess): Promise<ReplicaProgress> {
  master.send('progress')
  return (await nextMessage(master, 'the master', PART_MS_MAX)) as unknown as ReplicaProgress // as travertine-node.ts sends it
}

async function untilProgress(master: ChildProcess, reached: (progress: ReplicaProgress) => boolean): Promise<void> {
  const endMs = performance.now() + PART_MS_MAX
  while (!reached(await progressOf(master))) {
    if (performance.now() > endMs)
      throw new Error(`Cannot go on: the replica is not there after ${PART_MS_MAX / 1000} s`)
    await sleep(POLL_MS)
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function diskBytes(gib: number): number {
  return Math.min(DISK_BYTES_MAX, Math.ceil(gib * GIB))
}

/** A small run does not spend its time on preparing segments. */
function segmentBytes(gib: number): number {
  return gib < 1 ? 8 * MIB : SEGMENT_BYTES_DEFAULT
}

function count(text: string): number {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number from 1 to 9999')
}

function positive(text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('expected a number above 0')
}
