/**
 * The explored system: channels with the shipped machines on the shipped board, sessions that arrive, threads that wake
 * each other, a replica that makes durable what it was sent, and the control thread that lets its row up and down.
 *
 * What can happen next, in any order, on each channel that is not in the middle of an operation (a channel is one
 * thread: sessions, wakes and acknowledgements are looked at between two operations only):
 *
 *   flush        1 to all of the sessions that still have to come have arrived; or the channel was woken and has a layer announced
 *   wakened      a wake is pending: recompute; a flush is due afterwards if a layer is announced
 *   acknowledge  the replica has made durable any further prefix of what was sent (and the acknowledgement is taken at
 *                once: the later the replica's disk is written, the harder for the judge)
 *   up           control lets the row up, the channel connects: all is sent again from the replica's durable end
 *   down         the connection breaks, or control ends the session: UNKNOWN, then tell control
 *
 * in the middle of one: its next step. And control, after all channels have stored UNKNOWN, begins the next replication
 * session, with the same disk or a new one.
 *
 * Sessions that depend on others (sent after these were answered, on any channel) are among these orders: a session may
 * arrive at any time, so also right after any answer; model-log.ts checks that it is never in an earlier epoch then.
 * `after` in the configuration leaves only such orders.
 * Acknowledgements of an ended session are dropped, so the sound world does not keep them.
 */
import { Board, createBoard, NONE } from '../../wal/board.ts'
import { Canonical } from './canonical.ts'
import { type BoardMachines, ChannelDriver, Op } from './channel-driver.ts'
import { BASE_EPOCH, type Configuration, ENDLESS, FIRST_EPOCH, policyOf } from './configuration.ts'
import { ModelLog, type Scratch } from './model-log.ts'
import { SharedMemory } from './shared-memory.ts'
import { whereText } from './state-text.ts'
import { Channel, LAYER_NONE, Layout, Log, SEAL_BIT } from './state-vector.ts'

const ROW = 1

/** Planted defects of the world around the board. */
export interface WorldDefects {
  /** Control lets the row up again when one channel has stored UNKNOWN, not all. */
  readonly rowUpEarly?: boolean
  /** Acknowledgements of a former replication session are taken for the new one's. */
  readonly staleAcks?: boolean
}

type Change = (next: Uint8Array) => void

export class World {
  readonly config: Configuration
  readonly layout: Layout
  readonly #defects: WorldDefects
  readonly #memory: SharedMemory
  readonly #canonical: Canonical
  readonly #drivers: readonly ChannelDriver[]
  readonly #scratch: Scratch
  // what the last emitted transition was
  #from: Uint8Array = new Uint8Array()
  #channel = 0
  #kind = ''
  #detail = 0
  #shift = 0

  constructor(config: Configuration, machines: BoardMachines, defects: WorldDefects = {}) {
    this.config = config
    this.layout = new Layout(config)
    this.#canonical = new Canonical(this.layout)
    this.#defects = defects
    this.#scratch = { vector: new Uint8Array(this.layout.bytes), fault: undefined }
    const handle = createBoard(
      { channels: config.sessions.length, rows: this.layout.rows, ring: config.ring, bound: config.bound },
      { firstEpoch: FIRST_EPOCH, baseEpoch: BASE_EPOCH, policy: policyOf(config) },
    )
    const board = new Board(handle)
    this.#memory = new SharedMemory(handle, this.layout)
    this.#memory.checkLayout(board)
    this.#drivers = config.sessions.map((_, channel) => {
      if (this.#upAtStart) board.setCell(ROW, channel, NONE)
      const log = new ModelLog(this.#scratch, this.layout, channel)
      return new ChannelDriver(machines, new Board(handle), log, this.layout, channel)
    })
  }

  /** Called once, before anything has moved. */
  initial(): Uint8Array {
    const { vector } = this.#scratch
    for (const [channel, driver] of this.#drivers.entries()) {
      driver.save(vector)
      vector[this.layout.channel(channel) + Channel.remaining] = this.config.sessions[channel]!
      vector[this.layout.channel(channel) + Channel.link] = this.#upAtStart ? 1 : 0
    }
    vector[this.layout.session] = this.config.replica ? 1 : 0
    vector[this.layout.breaksLeft] = this.config.breaks
    vector[this.layout.forgotten] = Number(FIRST_EPOCH) - 1
    this.#memory.save(vector)
    this.#canonical.apply(vector)
    return Uint8Array.from(vector)
  }

  /** Calls `emit` with each state that can follow and with what an operation did wrong on the way; the bytes are reused. */
  successors(state: Uint8Array, emit: (next: Uint8Array, fault: string | undefined) => void): void {
    const apply = (channel: number, kind: string, detail: number, change: Change): void => {
      this.#from = state
      this.#channel = channel
      this.#kind = kind
      this.#detail = detail
      this.#scratch.fault = undefined
      this.#scratch.vector.set(state)
      this.#memory.restore(state)
      this.#attempt(change)
      if (this.#scratch.fault === undefined) this.#shift = this.#canonical.apply(this.#scratch.vector)
      emit(this.#scratch.vector, this.#scratch.fault)
    }
    for (let channel = 0; channel < this.layout.channels; channel++) {
      if (state[this.layout.channel(channel) + Channel.op] !== Op.idle) apply(channel, 'step', 0, this.#steps[channel]!)
      else {
        this.#flushOrWake(state, channel, apply)
        if (this.config.replica) this.#row(state, channel, apply)
      }
    }
    if (this.config.replica) this.#control(state, apply)
  }

  /** All sessions have come (of endless ones: none is on its way) and are answered, and every channel is idle. */
  isComplete(state: Uint8Array): boolean {
    for (let channel = 0; channel < this.layout.channels; channel++) {
      const at = this.layout.channel(channel)
      const log = this.layout.log(channel)
      const remaining = state[at + Channel.remaining]!
      if (remaining !== 0 && remaining !== ENDLESS) return false
      if (state[at + Channel.op] !== Op.idle || state[at + Channel.announced] !== LAYER_NONE) return false
      const batches = this.#batches(state, log)
      if (state[log + Log.owedStored] !== 0 || state[log + Log.owedPropagated] !== 0) return false
      if (state[log + Log.answeredStored]! < batches) return false
      if (this.config.replica && state[log + Log.answeredPropagated]! < batches) return false
    }
    return true
  }

  /** The last emitted transition in words, for traces. */
  get label(): string {
    if (this.#kind === 'control') return `control begins the next session, life ${this.#detail}`
    const where = whereText(this.layout, this.#from, this.#channel)
    return this.#kind === 'step'
      ? `c${this.#channel} ${where}`
      : `c${this.#channel} ${this.#kind} ${this.#detail || ''}`.trimEnd()
  }

  /** By how much the last emitted transition has lowered all layers. */
  get shift(): number {
    return this.#shift
  }

  /** Has the last emitted transition brought new sessions? */
  get isArrival(): boolean {
    return this.#kind === 'flush' && this.#detail > 0
  }

  get #upAtStart(): boolean {
    return this.config.replica && this.config.rowAtStart === 'up'
  }

  // ---- what can happen

  #flushOrWake(state: Uint8Array, channel: number, apply: Apply): void {
    const at = this.layout.channel(channel)
    const remaining = state[at + Channel.remaining]!
    const first = this.config.after[channel]
    const most = first !== undefined && !this.#isAnswered(state, first) ? 0 : remaining === ENDLESS ? 1 : remaining
    for (let arriving = state[at + Channel.flushPending] === 1 ? 0 : 1; arriving <= most; arriving++) {
      apply(channel, 'flush', arriving, (next) => {
        next[at + Channel.flushPending] = 0
        next[at + Channel.remaining] = remaining === ENDLESS ? ENDLESS : remaining - arriving
        if (arriving > 0) {
          next[at + Channel.queue] = 1
          next[at + Channel.floor] = this.#highestAnswered(state)
        }
        this.#begin(channel, state, (driver) => driver.beginFlush())
      })
    }
    if (state[at + Channel.wakePending] === 1) {
      apply(channel, 'wakened', 0, (next) => {
        next[at + Channel.wakePending] = 0
        this.#begin(channel, state, (driver) => driver.beginWakened())
      })
    }
  }

  /** Have all sessions of the channel come, and are they STORED? */
  #isAnswered(state: Uint8Array, channel: number): boolean {
    const at = this.layout.channel(channel)
    const log = this.layout.log(channel)
    if (state[at + Channel.remaining] !== 0 || state[at + Channel.queue] !== 0 || state[log + Log.owedStored] !== 0)
      return false
    return state[log + Log.answeredStored] === this.#batches(state, log)
  }

  #batches(state: Uint8Array, log: number): number {
    let batches = 0
    for (let record = 0; record < state[log + Log.length]!; record++) {
      if ((state[log + Log.records + 2 * record]! & SEAL_BIT) === 0) batches++
    }
    return batches
  }

  #row(state: Uint8Array, channel: number, apply: Apply): void {
    const { layout } = this
    const at = layout.channel(channel)
    const log = layout.log(channel)
    const durableAt = layout.durableInLife(state[layout.life]!, channel)
    const durable = state[durableAt]!
    const link = state[at + Channel.link]!
    const isUp = state[layout.phase] === 0
    if (link === 0) {
      if (!isUp) return
      apply(channel, 'up', durable, (next) => {
        next[at + Channel.link] = state[layout.session]!
        next[log + Log.sent] = state[log + Log.length]!
        this.#begin(channel, state, (driver) => driver.beginAcknowledge(ROW, durable))
      })
      return
    }
    // only in a broken world does a channel not belong to the current session
    const reach = link === state[layout.session] ? state[log + Log.sent]! : durable
    const prefixes = this.#prefixes(state, log, durable, reach)
    for (const position of prefixes) {
      apply(channel, 'acknowledge', position, (next) => {
        next[durableAt] = position
        this.#begin(channel, state, (driver) => driver.beginAcknowledge(ROW, position))
      })
    }
    if (!isUp || link !== state[layout.session] || state[layout.breaksLeft]! > 0) {
      // the replica has made durable what lies below `position`; that will not be heard of
      for (const position of [durable, ...prefixes]) {
        apply(channel, 'down, replica durable', position, (next) => this.#down(state, next, channel, position))
      }
    }
    const stale = state[at + Channel.staleAck]!
    if (stale > 0 && link === state[layout.session]) {
      apply(channel, 'stale acknowledge', stale - 1, (next) => {
        next[at + Channel.staleAck] = 0
        this.#begin(channel, state, (driver) => driver.beginAcknowledge(ROW, stale - 1))
      })
    }
  }

  /** What the replica may make durable next. */
  #prefixes(state: Uint8Array, log: number, durable: number, reach: number): number[] {
    const prefixes: number[] = []
    for (let position = durable + 1; position <= reach; position++) {
      const endsWithSeal = (state[log + Log.records + 2 * (position - 1)]! & SEAL_BIT) !== 0
      if (this.config.acks === 'all' || position === reach || endsWithSeal) prefixes.push(position)
    }
    return prefixes
  }

  #down(state: Uint8Array, next: Uint8Array, channel: number, position: number): void {
    const { layout } = this
    const at = layout.channel(channel)
    const durableAt = layout.durableInLife(state[layout.life]!, channel)
    if (state[at + Channel.link] === state[layout.session]) {
      if (this.#defects.staleAcks === true && position > state[durableAt]!) next[at + Channel.staleAck] = 1 + position
      next[durableAt] = position
      next[layout.log(channel) + Log.sent] = position
      if (state[layout.phase] === 0) {
        next[layout.phase] = 1
        next[layout.breaksLeft] = state[layout.breaksLeft]! - 1
      }
    }
    next[at + Channel.link] = 0
    this.#drivers[channel]!.rowDown(ROW)
    this.#memory.save(next)
  }

  #control(state: Uint8Array, apply: Apply): void {
    const { layout } = this
    if (state[layout.phase] === 0) return
    const isDown = (_: unknown, channel: number): boolean => state[layout.channel(channel) + Channel.link] === 0
    const ready = this.#defects.rowUpEarly === true ? this.#drivers.some(isDown) : this.#drivers.every(isDown)
    if (!ready) return
    const life = state[layout.life]!
    const nextLife = Math.min(life + 1, this.config.lives - 1)
    apply(0, 'control', nextLife, (next) => {
      next[layout.phase] = 0
      next[layout.session] = state[layout.session]! + 1
      next[layout.life] = nextLife
      if (nextLife === life) return
      for (let channel = 0; channel < layout.channels; channel++) next[layout.log(channel) + Log.sent] = 0
    })
  }

  // ---- steps of the machines

  readonly #steps: readonly Change[] = [0, 1, 2].map(
    (channel) => () => this.#step(channel, this.#from, () => undefined),
  )

  #begin(channel: number, state: Uint8Array, begin: (driver: ChannelDriver) => void): void {
    this.#step(channel, state, begin)
  }

  #step(channel: number, state: Uint8Array, begin: (driver: ChannelDriver) => void): void {
    const { vector } = this.#scratch
    const driver = this.#drivers[channel]!
    driver.restore(state)
    begin(driver)
    const wakened = driver.isWakened
    const done = driver.step()
    if (done && wakened && driver.announced !== NONE) vector[this.layout.channel(channel) + Channel.flushPending] = 1
    this.#memory.save(vector)
    driver.save(vector)
  }

  /** What a step throws is a fault of the machines. */
  #attempt(change: Change): void {
    try {
      change(this.#scratch.vector)
    } catch (thrown) {
      this.#scratch.fault = `(crash) ${String(thrown)}`
    }
  }

  #highestAnswered(state: Uint8Array): number {
    let highest = state[this.layout.forgotten]!
    for (let channel = 0; channel < this.layout.channels; channel++) {
      const log = this.layout.log(channel)
      let answered = state[log + Log.answeredStored]!
      for (let record = 0; answered > 0; record++) {
        const head = state[log + Log.records + 2 * record]!
        if ((head & SEAL_BIT) !== 0) continue
        highest = Math.max(highest, head)
        answered--
      }
    }
    return highest
  }
}

type Apply = (channel: number, kind: string, detail: number, change: Change) => void
