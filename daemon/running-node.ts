/**
 * The shell around a core: carries out its effects and feeds it events. It contains no decisions (STYLE A.3).
 *
 * Where effects are executed the contract is: an effect that names durable state (`adopt`) is finished before its event
 * goes back to the core, so nothing that a core sends can promise more than the disk holds.
 */
import { joinAddress } from '../protocol/address.ts'
import type { SharedSecret } from '../protocol/authentication.ts'
import { asError, DEFECT_CODE, type ErrorCode, fromWireError, TravertineError } from '../protocol/errors.ts'
import type { World } from '../protocol/world.ts'
import type { Board } from '../wal/board.ts'
import { boardOf, channelStarts } from './channel-starts.ts'
import { ConfigWriter } from './config-writer.ts'
import { createCore } from './core/create-core.ts'
import type { Core, Effect, Event } from './core/events.ts'
import { HeldEpochs } from './held-epochs.ts'
import { HistoryAdopter } from './history-adopter.ts'
import type { Channels, ChannelsOptions } from './io/channel-threads.ts'
import { ControlConnections } from './io/control-connections.ts'
import { DiskWatch } from './io/disk-watch.ts'
import type { JobRunner } from './io/job-pool.ts'
import { ThreadAnswers } from './io/thread-answers.ts'
import { ManifestKeeper } from './manifest-keeper.ts'
import { StatSlots } from './metrics/stat-slots.ts'
import type { FullConfig } from './node-config.ts'
import { describeNode, type NodeStatus } from './node-status.ts'
import type { OpenLog } from './open-log.ts'
import { RecoveryPointKeeper } from './recovery-point-keeper.ts'
import { doorbellMemory } from './threads/segment-preparer.ts'
import type { FromChannel } from './threads/thread-messages.ts'
import { Ticker } from './ticker.ts'

const THREAD_STOP_MS = 5_000

export interface RunningNodeOptions {
  readonly config: FullConfig
  readonly log: OpenLog
  readonly world: World
  readonly pool: JobRunner
  readonly openChannels: (options: ChannelsOptions) => Channels
  /** Shared secrets that are valid now; none: nobody is asked. */
  readonly secrets: () => readonly SharedSecret[]
  readonly stats?: readonly StatSlots[]
  /** An error was told to a client or peer on the control channel. */
  readonly onTold?: (code: string) => void
}

export class RunningNode {
  readonly #config: FullConfig
  readonly #world: World
  readonly #pool: JobRunner
  readonly #log: OpenLog
  readonly #board: Board | undefined
  readonly #threads: Channels
  readonly #control: ControlConnections
  readonly #watch: DiskWatch
  readonly #doorbells: readonly SharedArrayBuffer[]
  readonly #held: HeldEpochs
  readonly #keeper: ManifestKeeper
  readonly #points: RecoveryPointKeeper
  readonly #configs: ConfigWriter
  readonly #adopter: HistoryAdopter
  readonly #stats: readonly StatSlots[]
  #core: Core | undefined
  #ticker: Ticker | undefined
  #marks = 0n
  readonly #answers: ThreadAnswers<bigint | 'drain'>
  #stopping: Promise<void> | undefined
  #settle!: { resolve: () => void; reject: (error: Error) => void }
  readonly closed: Promise<void>
  port = 0
  logPorts: readonly number[] = []

  constructor(options: RunningNodeOptions) {
    this.#config = options.config
    this.#world = options.world
    this.#pool = options.pool
    this.#log = options.log
    const { manifest, whole } = options.log
    this.#keeper = new ManifestKeeper({ pool: options.pool, directory: options.config.directory, manifest })
    this.#points = new RecoveryPointKeeper(options.pool, options.config.directory)
    this.#answers = new ThreadAnswers(manifest.channels)
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.closed.catch(() => undefined) // `start` throws the same error; nobody else may be listening yet
    this.#held = new HeldEpochs(whole)
    this.#board = boardOf(options.log)
    this.#doorbells = options.log.ends.map(() => doorbellMemory())
    this.#stats = options.stats ?? options.log.ends.map(() => new StatSlots())
    this.#threads = this.#openChannels(options)
    this.#configs = new ConfigWriter({
      keeper: this.#keeper,
      threads: this.#threads,
      board: this.#board,
      address: () => this.#address,
      onRuling: (number) => this.#step({ type: 'configDurable', number }),
      onFailure: (thrown) => this.#fail(asError(thrown)),
    })
    this.#adopter = new HistoryAdopter({
      keeper: this.#keeper,
      threads: this.#threads,
      held: this.#held,
      onCut: (bytes) =>
        this.#alarm(
          'warn',
          'HISTORY_DIVERGED',
          `${bytes} bytes that are not in the master's history were cut off and kept in divergent/`,
        ),
    })
    this.#control = new ControlConnections({
      world: options.world,
      onEvent: (event) => this.#heard(event),
      onRefused: (error) => this.#alarm('warn', error.code, error.describe()),
      onTold: options.onTold ?? (() => undefined),
      status: () => ({ ...this.status() }),
      secrets: options.secrets,
    })
    this.#watch = this.#createWatch()
  }

  async start(): Promise<void> {
    try {
      this.logPorts = await this.#threads.start()
      // the core exists before the first connection can come in, and its address needs the port: so listen, then build
      this.port = await this.#control.listen(this.#config.host, this.#config.port)
    } catch (error) {
      await this.#stop(undefined)
      throw error
    }
    this.#core = this.#createCore()
    if (this.#log.mastership !== undefined) this.#configs.write(this.#keeper.current.config) // the first frame of all (WAL-39)
    this.#tick() // the first client is told the watermarks as they are
    this.#ticker = new Ticker(this.#world.clock, () => this.#tick())
    this.#watch.check()
    const { divergentBytes: cut } = this.#log
    if (cut > 0) this.#say(`${cut} bytes of epochs that were never answered are kept in divergent/`)
    this.#say(
      `${this.#keeper.current.role} listens on ${this.#config.host}:${this.port}, log channels on ${this.logPorts.join(', ')}`,
    )
  }

  shutdown(): void {
    this.#step({ type: 'shutdown' })
  }

  /** @param cascade the replicas that this one feeds from now on */
  feed(cascade: readonly string[]): void {
    if (this.#keeper.current.role === 'master' && cascade.length > 0) {
      const text = 'cascade.replicas has no effect on a master: its replicas are members, see `travertine member add`'
      return this.#alarm('warn', 'CONFIG_INVALID', text)
    }
    this.#step({ type: 'cascade', addresses: cascade })
  }

  status(): NodeStatus {
    return describeNode({
      manifest: this.#keeper.current,
      board: this.#board,
      core: this.#core,
      stats: this.#stats,
      whole: this.#held.whole,
      controlConnections: this.#control.count,
      diskLow: this.#watch.isLow,
    })
  }

  #openChannels({ openChannels }: RunningNodeOptions): Channels {
    const shared = { board: this.#board, doorbells: this.#doorbells, whole: this.#held.memory, stats: this.#stats }
    return openChannels({
      clock: this.#world.clock,
      starts: channelStarts(this.#config, this.#log, shared),
      onMessage: (channel, message) => this.#fromChannel(channel, message),
      onFailure: (error) => this.#fail(error),
    })
  }

  #createWatch(): DiskWatch {
    const { channels, segmentBytes } = this.#keeper.current
    return new DiskWatch({
      clock: this.#world.clock,
      channels,
      segmentBytes,
      freeBytes: () => this.#pool.run('freeBytes', { directory: this.#config.directory }),
      onChange: (low, free) => {
        this.#threads.sendAll({ type: 'diskLow', low })
        if (low) this.#alarm('warn', 'DISK_LOW', `new sessions are refused: ${free} bytes are free on the disk`)
        else this.#say(`new sessions are accepted again: ${free} bytes are free on the disk`)
      },
      onError: (error) => this.#fail(asError(error)),
    })
  }

  #createCore(): Core {
    const { mastership, ends } = this.#log
    const own = { logPorts: this.logPorts, address: this.#address, cascade: this.#config.cascade.replicas }
    return createCore({ manifest: this.#keeper.current, term: mastership?.term, ends, ...own })
  }

  get #address(): string {
    return joinAddress(this.#config.host, this.port)
  }

  #step(event: Event): void {
    if (this.#stopping !== undefined || this.#core === undefined) return
    try {
      for (const effect of this.#core.step(this.#world.clock.now(), event)) this.#carryOut(effect)
    } catch (thrown) {
      this.#fail(asError(thrown))
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'send':
        return this.#control.send(effect.connection, effect.message)
      case 'close':
        return this.#control.close(effect.connection)
      case 'dial':
        return this.#control.dial(effect.row, effect.address)
      case 'registerSession':
        this.#answers.ask(effect.session)
        return this.#threads.sendAll(effect)
      case 'forgetSession':
        this.#answers.forget(effect.session)
        return this.#threads.sendAll(effect)
      case 'openRow':
        return effect.resume.forEach((resume, channel) => {
          const { ports, ...row } = effect
          this.#threads.send(channel, { ...row, port: ports[channel]!, resume }) // as many ports as positions: the core has checked
        })
      case 'closeRow':
        return this.#threads.sendAll(effect)
      case 'adopt': {
        const { connection, history } = effect
        void this.#adopter.adopt(history).then(
          (result) => this.#step({ type: 'adopted', connection, result }),
          (thrown: unknown) => {
            if (this.#stopping === undefined) this.#fail(asError(thrown)) // else the pool has cut it off: a start reads what is there
          },
        )
        return undefined
      }
      case 'groupCommit':
        return undefined // what readers may be shown: the store's, when there is one; status reads it from the core
      case 'changeConfig':
        return this.#configs.write(effect.config)
      case 'drain':
        this.#answers.ask('drain')
        return this.#threads.sendAll({ type: 'drain' })
      case 'stop':
        void this.#stop(undefined)
        return undefined
      case 'log':
        return effect.level === 'info' ? this.#say(effect.text) : this.#alarm(effect.level, effect.code, effect.text)
    }
  }

  /** A replica's log has brought a newer config. Its manifest may lag: the log itself is asked first at a start. */
  #learnConfig(): void {
    const record = this.#held.takeConfig()
    if (record !== undefined) this.#inPool(this.#keeper.setConfig(record.config))
  }

  #fromChannel(channel: number, message: FromChannel): void {
    switch (message.type) {
      case 'sessionReady':
        return this.#answers.take(message.session)
          ? this.#step({ type: 'sessionReady', session: message.session })
          : undefined
      case 'rowOpen':
        return this.#step({ type: 'rowOpen', row: message.row, session: message.session, channel })
      case 'rowDown': {
        const { error, ...row } = message
        return this.#step({ ...row, ...(error === undefined ? {} : { error: fromWireError(error) }), channel })
      }
      case 'readerFailed': {
        const { session, error } = message
        return this.#step({ type: 'readerFailed', session, error: fromWireError(error) })
      }
      case 'quiet':
        return this.#adopter.quiet(message.position, channel)
      case 'seals':
        this.#held.addSeals(message.seals)
        return this.#learnConfig()
      case 'configs':
        this.#held.addConfigs(message.configs)
        return this.#learnConfig()
      case 'configStored':
        return this.#configs.stored(message.number)
      case 'recounted':
        return this.#configs.counted(message.number)
      case 'recoveryPoint':
        return this.#inPool(this.#points.write(message.point))
      case 'prepare':
        return this.#prepare(channel, message)
      case 'drained':
        return this.#answers.take('drain') ? this.#step({ type: 'drained' }) : undefined
      case 'listening':
      case 'failed':
        return undefined // channel-threads.ts has taken them
    }
  }

  /** An error of the world in the pool stops nothing by itself; a broken invariant stops the node. */
  #inPool(work: Promise<unknown>): void {
    work.catch((thrown: unknown) => {
      if (this.#stopping !== undefined) return // the pool ends with the node; a job that it cut off is repeated at the next start
      if (!(thrown instanceof TravertineError)) this.#fail(asError(thrown))
      else this.#alarm('warn', thrown.code, thrown.describe())
    })
  }

  #prepare(channel: number, { base, filling }: Extract<FromChannel, { type: 'prepare' }>): void {
    const { directory } = this.#config
    const { channels, segmentBytes: bytes } = this.#keeper.current
    const doorbell = this.#doorbells[channel]! // a channel that speaks has one
    const args = { directory, channels, channel, base, bytes, filling, doorbell }
    const work = this.#pool.run('prepareSegment', args)
    const done = (failed: boolean): void => {
      this.#threads.send(channel, { type: 'prepared' })
      this.#watch.check(failed)
    }
    this.#inPool(work.then(() => done(false)))
    work.catch(() => done(true))
  }

  /** Who connects is told nothing older than what anybody was answered before. */
  #heard(event: Event): void {
    if (event.type === 'connected') this.#lookAtBoard()
    this.#step(event)
  }

  /** @returns whether anything was committed since the last one */
  #tick(): boolean {
    const marks = this.#lookAtBoard()
    this.#step({ type: 'tick' })
    const hasMoved = marks !== this.#marks
    this.#marks = marks
    return hasMoved
  }

  /** Nobody's commit waits for it: watermarks move what replicas and readers may show, and status. @returns their sum */
  #lookAtBoard(): bigint {
    const board = this.#board
    if (board === undefined) return 0n
    const closed = board.shownEpoch(board.open() - 1n)
    const [stored, propagated] = [board.shownEpoch(board.stored()), board.shownEpoch(board.propagated())]
    this.#step({ type: 'watermarks', closed, stored, propagated })
    return closed + stored + propagated
  }

  #fail(error: Error): void {
    if (error instanceof TravertineError) this.#alarm('error', error.code, error.describe())
    else this.#alarm('error', DEFECT_CODE, error.stack ?? error.message)
    void this.#stop(error)
  }

  #stop(error: Error | undefined): Promise<void> {
    this.#stopping ??= this.#stopNow(error)
    return this.#stopping
  }

  async #stopNow(error: Error | undefined): Promise<void> {
    this.#ticker?.stop()
    this.#watch.stop()
    this.#control.stop()
    await this.#threads.stop(THREAD_STOP_MS)
    if (error === undefined) this.#settle.resolve()
    else this.#settle.reject(error)
  }

  #say(text: string): void {
    this.#config.onLog({ level: 'info', text })
  }

  /** Somebody has to act. */
  #alarm(level: 'warn' | 'error', code: ErrorCode | typeof DEFECT_CODE, text: string): void {
    this.#config.onLog({ level, text, code })
  }
}
