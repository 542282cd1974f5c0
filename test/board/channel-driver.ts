/**
 * The shipped machines of one channel, driven step by step, with their registers kept in the state vector.
 *
 * Collapsed, because nobody else can tell the difference:
 *   - after each step that touches shared words, the steps that follow and touch none are taken at once: port calls that
 *     only move the channel's own queue and log, loads of words that only this channel writes (its cells, its
 *     participation mark) or nobody writes (the policy, which is fixed in an exploration; PROPAGATED without a replica).
 *     They commute with every step of the others. Answering at once is the harder case: the crash comes as early as it can.
 *   - writeAndSync is taken together with the step that follows it: until then the crash may still lose the bytes,
 *     which is the harder case.
 *   - the begin of an operation is taken with its first step.
 *
 * Everything else, which is every load, store, exchange and compare-and-swap of a word that two threads use, is a step.
 */
import { type Board, NONE } from '../../wal/board.ts'
import type * as BoardMachine from '../../wal/board-machine.ts'
import type { ModelLog } from './model-log.ts'
import { Channel, DEAD, LAYER_MINUS_ONE, LAYER_NONE, type Layout, POISON_LAYER, POISON_NUMBER } from './state-vector.ts'

export type BoardMachines = typeof BoardMachine

export const Op = { idle: 0, flush: 1, acknowledge: 2, wakened: 3 } as const
export const OP_NAMES = ['idle', 'flush', 'acknowledge', 'wakened'] as const

/** Byte -> layer. */
const LAYERS: readonly bigint[] = Array.from({ length: 256 }, (_, code) => {
  if (code === LAYER_NONE) return NONE
  if (code === LAYER_MINUS_ONE) return -1n
  return code === DEAD ? POISON_LAYER : BigInt(code)
})

const layerOf = (code: number): bigint => LAYERS[code]!

function codeOf(layer: bigint): number {
  if (layer === NONE) return LAYER_NONE
  if (layer === POISON_LAYER) return DEAD
  if (layer === -1n) return LAYER_MINUS_ONE
  const code = Number(layer)
  if (!(code >= 0 && code < POISON_NUMBER)) throw new RangeError(`layer ${layer} does not fit into a byte`)
  return code
}

const RECHECKED_DEAD: ReadonlySet<string> = new Set(['seal', 'send', 'write', 'clear', 'recompute'])

/** Names of the `at` registers as bytes; also those that a mutant adds. 0 is "not under way". */
const atNames: string[] = ['-']
const atCodes = new Map<string, number>()

function atCode(name: string): number {
  let code = atCodes.get(name)
  if (code === undefined) {
    code = atNames.push(name) - 1
    atCodes.set(name, code)
  }
  return code
}

export const atName = (code: number): string => atNames[code] ?? '?'

export class ChannelDriver {
  readonly #machines: BoardMachines
  readonly #board: Board
  readonly #layout: Layout
  readonly #me: number
  readonly #at: number
  readonly #policy: number
  readonly #state: BoardMachine.ChannelState
  readonly #flush: BoardMachine.Flush
  readonly #acknowledge: BoardMachine.Acknowledge
  readonly #wakened: BoardMachine.Recompute
  #op: number = Op.idle

  constructor(machines: BoardMachines, board: Board, log: ModelLog, layout: Layout, me: number) {
    this.#machines = machines
    this.#board = board
    this.#layout = layout
    this.#me = me
    this.#at = layout.channel(me)
    this.#policy = board.policy()
    this.#state = new machines.ChannelState(board, log, me)
    log.state = this.#state
    this.#flush = new machines.Flush(this.#state)
    this.#acknowledge = new machines.Acknowledge(this.#state)
    this.#wakened = new machines.Recompute(this.#state)
  }

  beginFlush(): void {
    this.#op = Op.flush
    this.#flush.begin()
    this.#runLocal()
  }

  beginAcknowledge(row: number, position: number): void {
    this.#op = Op.acknowledge
    this.#acknowledge.begin(row, position)
  }

  beginWakened(): void {
    this.#op = Op.wakened
    this.#wakened.begin()
  }

  rowDown(row: number): void {
    this.#machines.rowDown(this.#board, this.#me, row)
  }

  get isWakened(): boolean {
    return this.#op === Op.wakened
  }

  get announced(): bigint {
    return this.#state.announced
  }

  /** One step that others can see. @returns true when the operation is complete */
  step(): boolean {
    if (this.#op === Op.flush && this.#flush.at === 'write') this.#flush.step()
    const done = this.#stepOnce() || this.#runLocal()
    if (done) this.#op = Op.idle
    return done
  }

  #stepOnce(): boolean {
    if (this.#op === Op.flush) return this.#flush.step()
    return this.#op === Op.acknowledge ? this.#acknowledge.step() : this.#wakened.step()
  }

  #runLocal(): boolean {
    while (this.#nextIsLocal()) if (this.#stepOnce()) return true
    return false
  }

  #nextIsLocal(): boolean {
    const recompute = this.#activeRecompute()
    if (recompute !== undefined) return this.#isLocalRecompute(recompute)
    if (this.#op !== Op.flush) return false
    const { at, announce, seal } = this.#flush
    const announced = this.#state.announced !== NONE
    switch (at) {
      case 'queue':
      case 'append':
      case 'send':
        return true
      case 'closed':
      case 'mayClose':
        return !announced
      case 'announce':
        return announce.at === 'cellLoad' || (announce.at === 'seal' && seal.channel === this.#me)
      case 'sealClosed':
      case 'seal':
        return seal.channel === this.#me
      default:
        return false
    }
  }

  #isLocalRecompute(recompute: BoardMachine.Recompute): boolean {
    switch (recompute.at) {
      case 'policy':
      case 'answer':
        return true
      case 'propagated':
        return !this.#layout.config.replica // then nobody ever writes it
      case 'cells':
      case 'wake':
        return recompute.channel === this.#me
      default:
        return false
    }
  }

  #activeRecompute(): BoardMachine.Recompute | undefined {
    if (this.#op === Op.wakened) return this.#wakened
    if (this.#op === Op.acknowledge)
      return this.#acknowledge.at === 'recompute' ? this.#acknowledge.recompute : undefined
    if (this.#op !== Op.flush) return undefined
    return this.#flush.at === 'recheck' || this.#flush.at === 'recompute' ? this.#flush.recompute : undefined
  }

  // ---- registers <-> bytes

  save(vector: Uint8Array): void {
    const at = this.#at
    const { announce, seal } = this.#flush
    const flushing = this.#op === Op.flush
    const announcing = flushing && this.#flush.at === 'announce'
    const sealing =
      flushing && (announcing ? announce.at === 'seal' : this.#flush.at === 'seal' || this.#flush.at === 'sealClosed')
    const acknowledging = this.#op === Op.acknowledge
    vector[at + Channel.op] = this.#op
    vector[at + Channel.announced] = codeOf(this.#state.announced)
    vector[at + Channel.flushAt] = flushing ? atCode(this.#flush.at) : 0
    vector[at + Channel.rechecked] =
      flushing && !RECHECKED_DEAD.has(this.#flush.at) ? Number(this.#flush.rechecked) : DEAD
    vector[at + Channel.announceAt] = announcing ? atCode(announce.at) : 0
    const joining = announcing && announce.at !== 'open' && announce.at !== 'seal'
    vector[at + Channel.announceLayer] = joining ? codeOf(announce.layer) : DEAD
    vector[at + Channel.announceRow] = joining ? announce.row : POISON_NUMBER
    vector[at + Channel.sealLayer] = sealing ? codeOf(seal.layer) : DEAD
    vector[at + Channel.sealChannel] = sealing ? seal.channel : POISON_NUMBER
    vector[at + Channel.sealParticipants] = sealing ? Number(seal.participants) : POISON_NUMBER
    vector[at + Channel.acknowledgeAt] = acknowledging ? atCode(this.#acknowledge.at) : 0
    vector[at + Channel.acknowledgePosition] =
      acknowledging && this.#acknowledge.at === 'cell' ? this.#acknowledge.position : POISON_NUMBER
    this.#saveRecompute(vector, this.#activeRecompute())
  }

  /** Registers whose last use lies behind are saved as dead; those not yet written are dead since the last operation. */
  #saveRecompute(vector: Uint8Array, recompute: BoardMachine.Recompute | undefined): void {
    const at = this.#at
    const { rows } = this.#layout
    vector.fill(DEAD, at + Channel.recomputeAt, at + Channel.durable + rows)
    vector[at + Channel.recomputeAt] = recompute === undefined ? 0 : atCode(recompute.at)
    if (recompute === undefined) return
    vector[at + Channel.channel] = recompute.channel
    if (recompute.at === 'wake') return
    vector[at + Channel.policyRead] = recompute.policy === this.#policy ? 1 : DEAD
    const answering = recompute.at === 'propagated' || recompute.at === 'raisePropagated'
    for (let row = answering ? 1 : 0; row < rows; row++)
      vector[at + Channel.durable + row] = codeOf(recompute.durable[row]!)
    const scanned = answering || recompute.at === 'stored' || recompute.at === 'raiseStored'
    if (recompute.at !== 'stored') {
      vector[at + Channel.stored] = codeOf(recompute.stored)
      vector[at + Channel.raised] = Number(recompute.raised)
      if (recompute.at !== 'propagated') vector[at + Channel.propagated] = codeOf(recompute.propagated)
    }
    if (scanned) {
      vector[at + Channel.channel] = DEAD
      return
    }
    vector[at + Channel.row] = recompute.row
    vector[at + Channel.low] = codeOf(recompute.low)
    if (recompute.at !== 'cells' || recompute.row < rows - 1) vector[at + Channel.top] = codeOf(recompute.top)
  }

  restore(vector: Uint8Array): void {
    const at = this.#at
    const { announce, seal } = this.#flush
    this.#op = vector[at + Channel.op]!
    this.#state.announced = layerOf(vector[at + Channel.announced]!)
    this.#flush.at = atName(vector[at + Channel.flushAt]!) as BoardMachine.Flush['at'] // save() took it from there
    this.#flush.rechecked = vector[at + Channel.rechecked] !== 0
    announce.at = atName(vector[at + Channel.announceAt]!) as BoardMachine.Announce['at'] // save() took it from there
    announce.layer = layerOf(vector[at + Channel.announceLayer]!)
    announce.row = vector[at + Channel.announceRow]!
    seal.layer = layerOf(vector[at + Channel.sealLayer]!)
    seal.channel = vector[at + Channel.sealChannel]!
    seal.participants = BigInt(vector[at + Channel.sealParticipants]!)
    this.#acknowledge.at = atName(vector[at + Channel.acknowledgeAt]!) as BoardMachine.Acknowledge['at'] // save() took it from there
    this.#acknowledge.row = 1
    this.#acknowledge.position = vector[at + Channel.acknowledgePosition]!
    if (this.#op === Op.idle || this.#op === Op.wakened) this.#restoreRecompute(vector, this.#wakened)
    if (this.#op === Op.idle || this.#op === Op.acknowledge) this.#restoreRecompute(vector, this.#acknowledge.recompute)
    if (this.#op === Op.flush) this.#restoreRecompute(vector, this.#flush.recompute)
  }

  #restoreRecompute(vector: Uint8Array, recompute: BoardMachine.Recompute): void {
    const at = this.#at
    recompute.at = atName(vector[at + Channel.recomputeAt]!) as BoardMachine.Recompute['at'] // save() took it from there
    recompute.policy = vector[at + Channel.policyRead] === 1 ? this.#policy : ~0
    recompute.top = layerOf(vector[at + Channel.top]!)
    recompute.row = vector[at + Channel.row]!
    recompute.channel = vector[at + Channel.channel]!
    recompute.low = layerOf(vector[at + Channel.low]!)
    recompute.stored = layerOf(vector[at + Channel.stored]!)
    recompute.propagated = layerOf(vector[at + Channel.propagated]!)
    recompute.raised = vector[at + Channel.raised] === 1
    for (let row = 0; row < this.#layout.rows; row++)
      recompute.durable[row] = layerOf(vector[at + Channel.durable + row]!)
  }
}
