/**
 * `travertine up`: a master and one replica on this machine, from an empty directory, with real data if wanted.
 *
 * With `--demo` it loads the data through the client and reads it back from the *replica's files*. It stays until
 * Ctrl-C, or with `--once` ends when that is done; then the last line on stdout is one JSON object. Both nodes are
 * processes of their own and end with us, however we end; a temporary directory goes with them.
 */
import { type Command, CommanderError } from 'commander'
import { CHANNEL_COUNT_LIMIT } from '../protocol/limits.ts'
import { newCommand, path, wholeNumber } from './command-line.ts'
import { demoData } from './demo-data.ts'
import { ExitCode, exitCodeOf } from './exit-codes.ts'
import { LocalPair } from './local-pair.ts'
import { coloursOf, errorJson, ignoreBrokenPipe, printJson, printLine, reportError, say } from './output.ts'
import { StopRequest } from './stop-request.ts'
import { type DemoFigures, UpDemo } from './up-demo.ts'
import { demoLines, nextLines } from './up-texts.ts'
import { openWorkspace, type Workspace } from './workspace.ts'

interface Options {
  readonly demo?: boolean
  readonly once?: boolean
  readonly directory?: string
  readonly channels: number
  readonly port: number
  readonly json?: boolean
}

export function upCommand(): Command {
  return newCommand({
    name: 'up',
    summary: 'run a master and a replica on this machine, to try things out',
    description:
      'Starts a master and one replica on loopback from an empty directory and stays until Ctrl-C. With --demo it ' +
      'loads a public data set through the client, then reads the log of the replica from its files and compares ' +
      'every entry. The directory is a temporary one, removed at the end, unless --directory says otherwise.',
    examples: [
      'travertine up --demo',
      'travertine up --demo --once',
      'travertine up --directory ./pair --channels 4 --port 7400',
    ],
    exitCodes: [
      ExitCode.DIRECTORY,
      ExitCode.LOG,
      ExitCode.DISK,
      ExitCode.NETWORK,
      ExitCode.INPUT,
      ExitCode.INTERRUPTED,
      ExitCode.TERMINATED,
    ],
  })
    .option('--demo', 'load real data and check it on the replica')
    .option('--once', 'end when the demo is done; the last line on stdout is one JSON object')
    .option('--directory <directory>', 'keep the data in here; must be empty or not exist', path)
    .option('--channels <number>', 'log channels', wholeNumber(1, CHANNEL_COUNT_LIMIT), 2)
    .option(
      '--port <number>',
      'port of the master; its log channels and the replica take the ports behind it. 0: any free ports',
      wholeNumber(0, 65_535),
      0,
    )
    .action(up)
}

async function up(options: Options): Promise<void> {
  if (options.once === true && options.demo !== true) {
    throw new CommanderError(2, 'travertine.once', "error: option '--once' needs '--demo': there is nothing to do once")
  }
  ignoreBrokenPipe() // what was started has to be stopped in good order, whoever has stopped reading
  const run = new UpRun(options)
  try {
    await run.untilEnd()
  } catch (error) {
    run.report(error)
  } finally {
    await run.end()
  }
  if (options.once === true) printJson(run.result())
}

/** One run of the pair, and what has become of it. */
class UpRun {
  readonly #options: Options
  readonly #stop: StopRequest
  #workspace: Workspace | undefined
  #pair: LocalPair | undefined
  #demo: UpDemo | undefined
  #error: unknown

  constructor(options: Options) {
    this.#options = options
    this.#stop = new StopRequest({
      // a shell between npm and us does not pass on a signal
      withParent: process.env['npm_lifecycle_event'] !== undefined,
      hangUp: 'stop',
      beforeExit: () => {
        this.#pair?.kill()
        this.#workspace?.remove()
      },
    })
  }

  async untilEnd(): Promise<void> {
    const { demo, once, json, channels, port } = this.#options
    const data = demo === true ? demoData(channels) : undefined // first: without data nothing needs to be started
    const workspace = openWorkspace(this.#options.directory)
    this.#workspace = workspace
    const pair = new LocalPair({ directory: workspace.directory, channels, port, say: sayDim })
    this.#pair = pair
    const nodes = await this.#stop.during(pair.start(), 'start the pair')
    const broken = pair.broken().then((error): never => {
      throw error
    })
    broken.catch(() => undefined) // heard below, where it counts
    if (json === true) printJson({ ok: true, directory: workspace.directory, ...nodes })
    if (data !== undefined) {
      const work = new UpDemo(nodes, data)
      this.#demo = work
      await this.#stop.during(Promise.race([work.run(), broken]), 'finish the demo')
      if (json !== true) printLines(demoLines(work.result(), coloursOf(process.stdout)))
      else if (once !== true) printJson({ ok: true, ...work.result().figures })
    }
    if (once === true) return
    if (json !== true) printLines(nextLines(nodes, workspace, coloursOf(process.stdout)))
    const reason = await Promise.race([this.#stop.requested, broken])
    say(`Stopping at ${reason.text} ...`)
  }

  /** Says what went wrong, and what is certain nevertheless. */
  report(error: unknown): void {
    this.#error = error
    this.#demo?.stopProgress()
    process.exitCode = exitCodeOf(error)
    const { json, once } = this.#options
    reportError(error, json === true && once !== true) // `result` is the object of --once
    if (this.#demo !== undefined) say(this.#demo.acknowledged())
  }

  /** Stops the nodes and removes what was only for now. */
  async end(): Promise<void> {
    this.#demo?.abort()
    await this.#pair?.stop()
    this.#workspace?.remove()
  }

  /** The last line of `--once`. */
  result(): { readonly ok: boolean } & Partial<DemoFigures> {
    const figures = this.#demo?.result().figures ?? {}
    return this.#error === undefined ? { ok: true, ...figures } : { ...errorJson(this.#error), ...figures }
  }
}

const printLines = (lines: readonly string[]): void => lines.forEach(printLine)
const sayDim = (text: string): void => say(coloursOf(process.stderr).dim(text))
