/**
 * The operations on the in-flight board, as step machines: each `step()` makes at most one atomic access or one call of
 * the log port, and returns true when the operation is complete. Production runs them to completion; the interleaving
 * test single-steps the same objects in every order (DESIGN 4).
 *
 * The order of the steps is the safety argument. In short:
 *   - announce: cells first, then the participation mark, then look again whether the layer is still open;
 *   - announced implies must seal, even if somebody else has closed the layer meanwhile;
 *   - flush never waits for STORED: it would wait for its own cell;
 *   - recompute: own flag before the scan, E before the cells, publish before reading the others' flags.
 *
 * Registers are plain fields, so that a test can copy a machine in the middle of an operation.
 */
import { type Board, NONE, UNKNOWN } from './board.ts'
import { policyCounts, propagatedLayer } from './durability.ts'
import type { LogPort, RunOperation, StepMachine } from './log-port.ts'

export function runToEnd(machine: StepMachine): void {
  while (!machine.step());
}

export const runAtOnce: RunOperation = (operation) => {
  try {
    runToEnd(operation.begin())
  } catch (thrown) {
    operation.failed(thrown)
    return
  }
  operation.done()
}

/** What the machines of one channel share. */
export class ChannelState {
  readonly board: Board
  readonly port: LogPort
  readonly me: number
  /** The layer this channel has announced and not yet sealed; NONE if there is none. */
  announced: bigint = NONE

  constructor(board: Board, port: LogPort, me: number) {
    this.board = board
    this.port = port
    this.me = me
  }
}

/** Reads who takes part in a layer, and appends the seal that names them. */
export class Seal implements StepMachine {
  readonly #state: ChannelState
  layer = NONE
  channel = 0
  participants = 0n

  constructor(state: ChannelState) {
    this.#state = state
  }

  begin(layer: bigint): void {
    this.layer = layer
    this.channel = 0
    this.participants = 0n
  }

  step(): boolean {
    const { board, port } = this.#state
    if (this.channel < board.shape.channels) {
      if (board.part(this.layer, this.channel) === this.layer) this.participants |= 1n << BigInt(this.channel)
      this.channel++
      return false
    }
    port.appendSeal(this.layer, this.participants, board.stored())
    return true
  }
}

/** Joins the open layer. Ends with `announced` set to a layer that was open after everybody could see us in it. */
export class Announce implements StepMachine {
  readonly #state: ChannelState
  readonly seal: Seal
  at: 'open' | 'cellLoad' | 'cellStore' | 'recheck' | 'part' | 'confirm' | 'seal' = 'open'
  layer = NONE
  row = 0

  constructor(state: ChannelState, seal: Seal) {
    this.#state = state
    this.seal = seal
  }

  begin(): void {
    this.at = 'open'
  }

  step(): boolean {
    const state = this.#state
    const { board, me } = state
    switch (this.at) {
      case 'open':
        this.layer = board.open()
        this.row = 0
        this.at = 'cellLoad'
        return false
      case 'cellLoad':
        if (board.cell(this.row, me) === NONE) this.at = 'cellStore'
        else this.#nextRow()
        return false
      case 'cellStore':
        board.setCell(this.row, me, this.layer)
        this.#nextRow()
        return false
      case 'recheck': // the slot may belong to an older layer by now: do not touch it then
        this.at = board.open() === this.layer ? 'part' : 'open'
        return false
      case 'part':
        board.setPart(this.layer, me)
        this.at = 'confirm'
        return false
      case 'confirm':
        if (board.open() === this.layer) {
          state.announced = this.layer
          return true
        }
        this.seal.begin(this.layer) // somebody may have seen the mark: an empty seal, now
        this.at = 'seal'
        return false
      case 'seal':
        if (this.seal.step()) this.at = 'open'
        return false
    }
  }

  #nextRow(): void {
    this.row++
    this.at = this.row < this.#state.board.shape.rows ? 'cellLoad' : 'recheck'
  }
}

/** Publishes what became durable, answers own writers, and wakes the channels that wait for it. */
export class Recompute implements StepMachine {
  readonly #state: ChannelState
  at:
    | 'flag'
    | 'policy'
    | 'open'
    | 'cells'
    | 'stored'
    | 'raiseStored'
    | 'propagated'
    | 'raisePropagated'
    | 'answer'
    | 'wake' = 'flag'
  policy = 0
  top = 0n
  row = 0
  channel = 0
  low = 0n
  /** Highest durable layer per row; rows that nobody counts stay 0. */
  durable: bigint[]
  stored = 0n
  propagated = 0n
  raised = false

  constructor(state: ChannelState) {
    this.#state = state
    this.durable = new Array<bigint>(state.board.shape.rows).fill(0n)
  }

  begin(): void {
    this.at = 'flag'
  }

  step(): boolean {
    const { board, port, me, announced } = this.#state
    switch (this.at) {
      case 'flag':
        board.setWaiting(me, port.hasUnanswered())
        this.at = 'policy'
        return false
      case 'policy':
        this.policy = board.policy()
        this.at = 'open'
        return false
      case 'open':
        this.top = board.open()
        this.#beginRow(0)
        this.at = 'cells'
        return false
      case 'cells':
        return this.#readCell()
      case 'stored':
        this.stored = board.stored()
        this.raised = false
        this.at = this.durable[0]! > this.stored ? 'raiseStored' : 'propagated'
        return false
      case 'raiseStored':
        if (board.tryRaiseStored(this.stored, this.durable[0]!)) {
          this.stored = this.durable[0]!
          this.raised = true
          this.at = 'propagated'
        } else this.at = 'stored'
        return false
      case 'propagated':
        this.propagated = board.propagated()
        this.at = this.#propagatedTarget() > this.propagated ? 'raisePropagated' : 'answer'
        return false
      case 'raisePropagated':
        if (board.tryRaisePropagated(this.propagated, this.#propagatedTarget())) {
          this.propagated = this.#propagatedTarget()
          this.raised = true
          this.at = 'answer'
        } else this.at = 'propagated'
        return false
      case 'answer':
        port.answer(this.stored, this.propagated)
        this.channel = 0
        this.at = 'wake'
        return !this.raised // nothing new was published: whoever published it has woken, or will wake, the others
      case 'wake':
        // Of our own waiting only a layer that BOUND keeps open needs a wake: its next flush may close it now, and who
        // raises by himself is woken by nobody.
        if (this.channel === me ? announced !== NONE : board.takeWaiting(this.channel)) port.wake(this.channel)
        this.channel++
        return this.channel === board.shape.channels
    }
  }

  #beginRow(row: number): void {
    this.row = row
    this.channel = 0
    this.low = this.top
  }

  #readCell(): boolean {
    const { board } = this.#state
    const cell = board.cell(this.row, this.channel)
    if (cell < this.low) this.low = cell
    this.channel++
    if (this.channel < board.shape.channels) return false
    this.durable[this.row] = this.low - 1n
    let next = this.row + 1
    while (next < board.shape.rows && !policyCounts(this.policy, next)) next++
    if (next < board.shape.rows) this.#beginRow(next)
    else this.at = 'stored'
    return false
  }

  #propagatedTarget(): bigint {
    const layer = propagatedLayer(this.policy, this.durable)
    return layer < this.stored ? layer : this.stored
  }
}

/** Stamps, closes, sends, writes and makes durable; then publishes. */
export class Flush implements StepMachine {
  readonly #state: ChannelState
  readonly seal: Seal
  readonly announce: Announce
  readonly recompute: Recompute
  at:
    | 'closed'
    | 'sealClosed'
    | 'queue'
    | 'announce'
    | 'append'
    | 'mayClose'
    | 'bound'
    | 'recheck'
    | 'close'
    | 'seal'
    | 'send'
    | 'write'
    | 'clear'
    | 'recompute' = 'closed'
  rechecked = false

  constructor(state: ChannelState) {
    this.#state = state
    this.seal = new Seal(state)
    this.announce = new Announce(state, this.seal)
    this.recompute = new Recompute(state)
  }

  begin(): void {
    this.at = 'closed'
    this.rechecked = false
  }

  step(): boolean {
    const state = this.#state
    const { board, port, me } = state
    switch (this.at) {
      case 'closed':
        if (state.announced !== NONE && board.open() !== state.announced) this.#beginSeal('sealClosed')
        else this.at = 'queue'
        return false
      case 'sealClosed':
        if (this.#sealed()) this.at = 'queue'
        return false
      case 'queue':
        if (!port.hasQueue()) this.at = 'mayClose'
        else if (state.announced !== NONE) this.at = 'append'
        else {
          this.announce.begin()
          this.at = 'announce'
        }
        return false
      case 'announce':
        if (this.announce.step()) this.at = 'append'
        return false
      case 'append':
        port.appendQueue(state.announced)
        this.at = 'mayClose'
        return false
      case 'mayClose':
        if (state.announced === NONE) this.at = 'send'
        else if (board.open() === state.announced) this.at = 'bound'
        else this.#beginSeal('seal')
        return false
      case 'bound': // too many closed and not stored: look once more, then write without seal rather than wait
        if (state.announced + 1n <= board.stored() + BigInt(board.shape.bound)) this.at = 'close'
        else if (this.rechecked) this.at = 'send'
        else {
          this.rechecked = true
          this.recompute.begin()
          this.at = 'recheck'
        }
        return false
      case 'recheck':
        if (this.recompute.step()) this.at = 'bound'
        return false
      case 'close':
        board.close(state.announced)
        this.#beginSeal('seal')
        return false
      case 'seal':
        if (this.#sealed()) this.at = 'send'
        return false
      case 'send': // network first: it runs while the disk works
        port.sendUnwritten()
        this.at = 'write'
        return false
      case 'write':
        port.writeAndSync()
        this.at = 'clear'
        return false
      case 'clear':
        board.setCell(0, me, state.announced)
        this.recompute.begin()
        this.at = 'recompute'
        return false
      case 'recompute':
        return this.recompute.step()
    }
  }

  #beginSeal(at: 'sealClosed' | 'seal'): void {
    this.seal.begin(this.#state.announced)
    this.at = at
  }

  #sealed(): boolean {
    if (!this.seal.step()) return false
    this.#state.announced = NONE
    return true
  }
}

/** A replica has made durable what lies below `position` of this channel; also the way a row comes up. */
export class Acknowledge implements StepMachine {
  readonly #state: ChannelState
  readonly recompute: Recompute
  at: 'cell' | 'recompute' = 'cell'
  row = 0
  position = 0

  constructor(state: ChannelState) {
    this.#state = state
    this.recompute = new Recompute(state)
  }

  begin(row: number, position: number): void {
    this.row = row
    this.position = position
    this.at = 'cell'
  }

  step(): boolean {
    if (this.at === 'recompute') return this.recompute.step()
    const { board, port, me, announced } = this.#state
    board.setCell(this.row, me, port.firstSealBeyond(this.position) ?? announced) // announced is NONE if there is none
    this.recompute.begin()
    this.at = 'recompute'
    return false
  }
}

/** The replica of this row is gone. The control thread is told afterwards, and lets the row up again only then. */
export function rowDown(board: Board, channel: number, row: number): void {
  board.setCell(row, channel, UNKNOWN)
}
