/**
 * The judge of a simulated run. It knows what clients were told (history.ts) and what files say (log-view.ts); it asks no
 * node for its opinion, but for the watermarks, whose order and direction is a promise of its own.
 *
 * A promise that is broken is a `Violation`, thrown at the first moment at which it can be seen. Rules (the names are those of
 * docs/DURABILITY.md):
 *   stored          answered STORED: in the master's log, in its epoch, and durable there, from then on
 *   propagated      the same on every replica whose disk is spared
 *   whole epochs    of the sessions stamped in an epoch all or none survive a start, and none outside of a whole epoch
 *   named           every seal of an epoch names every channel that has sessions in it (WAL-31)
 *   order           a session sent after another one was answered is in no earlier epoch
 *   one history     one (term, position) has one content, wherever it lies
 *   once            no session is twice in a log
 *   not applied     what a client was told is not applied, or lost, is in no log
 *   dropped         what a start has cut off never comes back
 *   kept            what a replica cuts off for a new history lies in its divergent/
 *   fed             a replica that a replica feeds holds nothing that this one has lost
 *   watermarks      propagated <= stored <= closed < open, none of them goes back while a node runs
 */
import type { NodeStatus } from '../../daemon/node-status.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import { FedRule } from './fed-rule.ts'
import type { Answer, ClientHistory, Session } from './history.ts'
import { isKept, isSession, LogView, type ViewFrame } from './log-view.ts'
import { Violation } from './violation.ts'

export interface CheckedNode {
  readonly name: string
  readonly nodeId: string
  readonly disk: SimDisk
  readonly isMaster: boolean
  /** A replica feeds it, and it counts for nothing. */
  readonly isLeaf: boolean
}

interface NodeState {
  readonly node: CheckedNode
  readonly view: LogView
  /** When its disk was made new: it holds nothing that was sent before. */
  sparedSince: number
  /** It runs, and nothing of its files was lost since they were read. */
  isSettled: boolean
  marks: NodeStatus | undefined
}

export class Checkers {
  readonly #history: ClientHistory
  readonly #nodes = new Map<string, NodeState>()
  /** channel -> position -> mastership -> content */
  readonly #contents = new Map<number, Map<number, Map<string, string>>>()
  /** mastership and epoch -> every session that was ever seen stamped in it, with its place */
  readonly #stamped = new Map<string, Map<number, ViewFrame>>()
  /** mastership and epoch -> channels that have sessions in it, and those that all of its seals name */
  readonly #named = new Map<string, { sessions: number; named: number }>()
  /** Frames that a start has cut off -> the mastership that began with it. */
  readonly #dropped = new Map<string, string>()
  /** Of all that ever were masters: a disk that is new has another id. */
  readonly #masterIds = new Set<string>()
  #changing = false
  readonly #fed = new FedRule()

  constructor(history: ClientHistory) {
    this.#history = history
  }

  watch(node: CheckedNode, now: number): void {
    const view = new LogView(
      () => node.disk,
      (frame) => this.#seen(node, frame),
      (frames) => this.#mustBeKept(node, frames),
    )
    this.#nodes.set(node.name, { node, view, sparedSince: now, isSettled: false, marks: undefined })
  }

  /** The node's disk was lost, and replaced by an empty one. */
  replaced(name: string, now: number): void {
    const state = this.#state(name)
    if (!state.node.isLeaf) this.#fed.feederChanged()
    state.sparedSince = now
    state.isSettled = false
    state.view.restart()
  }

  view(name: string): LogView {
    return this.#state(name).view
  }

  /** Looks at what is new in the files of all nodes. */
  look(): void {
    for (const { view, node } of this.#nodes.values()) {
      view.advance()
      this.#checkOnce(node, view)
    }
  }

  /** A client was told STORED. */
  answeredStored(session: Session, answer: Answer): void {
    const master = this.#masterOf(answer)
    if (master?.node.isMaster !== true) {
      // Deposed since, and its disk perhaps replaced: the answer was on its way and may be worth nothing any more, or it is
      // that of the next master, of a session that it has found in its log.
      const now = [...this.#nodes.values()].find(({ node }) => node.isMaster)
      now?.view.advance()
      if (now?.view.sessions.has(session.id) !== true) session.isExcused = true
      return
    }
    this.#mustHold(master, session, answer, 'stored')
    const earlier = session.mustFollow.get(answer.term) ?? 0
    if (answer.epoch < earlier)
      throw new Violation(
        'order',
        `session ${session.id} is in epoch ${answer.epoch}, and epoch ${earlier} had been answered before it was sent`,
      )
  }

  /** A client was told PROPAGATED. */
  answeredPropagated(session: Session, answer: Answer): void {
    for (const state of this.#nodes.values()) {
      if (state.sparedSince <= session.sentAt && !state.node.isLeaf)
        this.#mustHold(state, session, answer, 'propagated')
    }
  }

  /** Before a life of the node ends: what it wrote and nobody may see again. */
  ending(name: string): void {
    const state = this.#state(name)
    state.view.advance()
    state.isSettled = false
  }

  /** It has ended: its files may lose something before they are read again. */
  down(name: string): void {
    this.#state(name).isSettled = false
  }

  /** A replica has recovered, and has not appended anything yet. */
  recovered(name: string): void {
    const state = this.#reread(name)
    if (state.node.isLeaf) return
    this.#mustHoldAll(state, (session) => session.propagated, 'propagated')
    this.#fed.recovered(state, [...this.#nodes.values()])
  }

  /** A mastership has begun, and has not appended anything yet. */
  recoveredMaster(name: string): void {
    const before = this.view(name).channels.flatMap(({ frames }) => frames)
    const state = this.#reread(name)
    const { view, node } = state
    this.#masterIds.add(node.nodeId)
    this.#noteDropped(before, view)
    this.#checkWholeEpochs(node, view)
    this.#mustHoldAll(state, (session) => session.propagated, 'propagated')
    if (this.#changing) this.#excuse(view)
    this.#changing = false
    this.#mustHoldAll(state, (session) => session.stored, 'stored')
  }

  /** An operator has made another node the master; it has not started yet. */
  changedMaster(): void {
    this.#changing = true
    this.#fed.feederChanged()
  }

  #reread(name: string): NodeState {
    const state = this.#state(name)
    state.view.restart()
    state.view.advance()
    state.marks = undefined
    state.isSettled = true
    this.#checkOnce(state.node, state.view)
    return state
  }

  /**
   * A change of master may lose what was STORED and not PROPAGATED. It may also bring back what an earlier one has lost:
   * where the new master has never met the history that did not hold it.
   */
  #excuse(view: LogView): void {
    for (const session of this.#history.sessions.values()) {
      const isHeld = view.sessions.has(session.id)
      if (session.propagated === undefined && !isHeld) session.isExcused = true
      if (session.outcome === 'lost' && isHeld) session.outcome = 'back'
    }
  }

  watermarks(name: string, now: NodeStatus): void {
    const state = this.#state(name)
    const before = state.marks
    state.marks = now
    if (now.role === 'master' && !(now.propagated <= now.stored && now.stored <= now.closed && now.closed < now.open))
      throw new Violation(
        'watermarks',
        `${name} says open ${now.open}, closed ${now.closed}, stored ${now.stored}, propagated ${now.propagated}`,
      )
    if (before === undefined) return
    for (const mark of ['open', 'closed', 'stored', 'propagated', 'whole'] as const) {
      if (before.term !== now.term && mark === 'whole') continue // a new history may cut
      if (now.role === 'replica' && mark === 'propagated' && now.propagated === 0n) continue // not told yet in this term
      if (now[mark] < before[mark])
        throw new Violation('watermarks', `${mark} of ${name} went from ${before[mark]} back to ${now[mark]}`)
    }
  }

  /** Everything was answered or given up: all logs are the same, and hold what they must. */
  atEnd(): void {
    this.look()
    const states = [...this.#nodes.values()]
    const master = states.find(({ node }) => node.isMaster)
    if (master === undefined) return
    this.#checkWholeEpochs(master.node, master.view)
    this.#mustHoldAll(master, (session) => session.stored, 'stored')
    this.#checkOrder(master.view)
    for (const session of this.#history.sessions.values()) {
      if (session.outcome !== 'not-applied' && session.outcome !== 'lost') continue
      // a node that was made master by force may bring back what its rival's history had lost
      const { toldIn } = session
      if (toldIn !== undefined && !master.view.history.some(({ name }) => name === toldIn)) continue
      const holder = states.find(({ view }) => view.sessions.has(session.id))
      if (holder !== undefined)
        throw new Violation(
          'not applied',
          `session ${session.id} was told ${session.outcome} and is in the log of ${holder.node.name}`,
        )
    }
    for (const { node, view } of states) {
      view.channels.forEach(({ end }, channel) => {
        const expected = master.view.channels[channel]?.end
        if (end !== expected)
          throw new Violation(
            'liveness',
            `channel ${channel} of ${node.name} ends at ${end}, the master's at ${expected}`,
          )
      })
    }
  }

  #seen(node: CheckedNode, frame: ViewFrame): void {
    const positions = getOrMake(this.#contents, frame.channel, () => new Map<number, Map<string, string>>())
    const contents = getOrMake(positions, frame.position, () => new Map<string, string>())
    const known = contents.get(frame.term)
    if (known === undefined) contents.set(frame.term, frame.crc)
    else if (known !== frame.crc)
      throw new Violation(
        'one history',
        `channel ${frame.channel} position ${frame.position} in term ${frame.term} of ${node.name}: two contents`,
      )
    const cutBy = this.#dropped.get(placeOf(frame))
    if (cutBy !== undefined && this.#nodes.get(node.name)?.view.history.some(({ name }) => name === cutBy) === true)
      throw new Violation('dropped', `${placeOf(frame)} was cut off and is back in the log of ${node.name}`)
    this.#checkNamed(node, frame)
    if (!isSession(frame)) return
    getOrMake(this.#stamped, `${frame.term} ${frame.epoch}`, () => new Map<number, ViewFrame>()).set(
      frame.position * 64 + frame.channel,
      frame,
    )
  }

  /** Else what is left of an epoch would look whole without the sessions of a channel that lost them. */
  #checkNamed(node: CheckedNode, frame: ViewFrame): void {
    const { channel, participants, term, epoch } = frame
    if (participants === 0 && !isSession(frame)) return
    const known = getOrMake(this.#named, `${term} ${epoch}`, () => ({ sessions: 0, named: -1 }))
    if (isSession(frame)) known.sessions |= 1 << channel
    else known.named &= participants
    if ((known.sessions & ~known.named) !== 0)
      throw new Violation(
        'named',
        `a seal of epoch ${epoch} of term ${term} on ${node.name} misses a channel with sessions`,
      )
  }

  #mustBeKept(node: CheckedNode, frames: readonly ViewFrame[]): void {
    if (node.isMaster || this.#nodes.get(node.name)?.isSettled !== true) return
    for (const frame of frames) {
      if (isSession(frame) && !isKept(node.disk, frame))
        throw new Violation('kept', `${placeOf(frame)} was cut off on ${node.name}, and is not in its divergent/`)
    }
  }

  #checkOnce(node: CheckedNode, view: LogView): void {
    const [twice] = view.doubles
    if (twice !== undefined)
      throw new Violation('once', `session ${twice.session} is twice in the log of ${node.name}, at ${twice.position}`)
  }

  #noteDropped(before: readonly ViewFrame[], view: LogView): void {
    const cutBy = view.history.at(-1)?.name
    if (cutBy === undefined) return
    const kept = new Set(view.channels.flatMap(({ frames }) => frames.map(placeOf)))
    for (const frame of before) if (!kept.has(placeOf(frame))) this.#dropped.set(placeOf(frame), cutBy)
  }

  #checkWholeEpochs(node: CheckedNode, view: LogView): void {
    const survivors = new Map<string, number>()
    for (const { frames } of view.channels) {
      for (const frame of frames) {
        if (!isSession(frame)) continue
        if (!view.isWhole(frame.epoch))
          throw new Violation(
            'whole epochs',
            `${placeOf(frame)} of ${node.name} is in epoch ${frame.epoch}, which is not whole`,
          )
        const key = `${frame.term} ${frame.epoch}`
        survivors.set(key, (survivors.get(key) ?? 0) + 1)
      }
    }
    for (const [key, count] of survivors) {
      const stamped = this.#stamped.get(key)?.size ?? 0
      if (stamped !== count)
        throw new Violation('whole epochs', `${count} of ${stamped} sessions of epoch ${key} survive on ${node.name}`)
    }
  }

  #checkOrder(view: LogView): void {
    const answered = [...this.#history.sessions.values()].filter(({ stored, id }) => stored && view.sessions.has(id))
    const byAnswer = new Map(answered.map((session) => [session.stored!, session]))
    for (const session of this.#history.sessions.values()) {
      const frame = view.sessions.get(session.id)
      if (frame === undefined) continue
      for (const [term, epoch] of session.mustFollow) {
        const earlier = [...byAnswer.keys()].some((a) => a.term === term && a.epoch === epoch)
        if (earlier && frame.epoch < epoch)
          throw new Violation(
            'order',
            `session ${session.id} is in epoch ${frame.epoch}, sent after epoch ${epoch} was answered`,
          )
      }
    }
  }

  #mustHoldAll(state: NodeState, answerOf: (session: Session) => Answer | undefined, rule: string): void {
    for (const session of this.#history.sessions.values()) {
      const answer = answerOf(session)
      if (answer === undefined || session.isExcused || session.sentAt < state.sparedSince) continue
      this.#mustHold(state, session, answer, rule)
    }
  }

  #mustHold(state: NodeState, session: Session, answer: Answer, rule: string): void {
    const { view, node } = state
    view.advance()
    const frame = view.sessions.get(session.id)
    const say = (what: string): never => {
      throw new Violation(
        rule,
        `session ${session.id}, answered for epoch ${answer.epoch} of term ${answer.term}: ${what}`,
      )
    }
    if (frame === undefined) return say(`not in the log of ${node.name}`)
    if (frame.epoch > answer.epoch || frame.channel !== session.channel)
      return say(`in epoch ${frame.epoch} on channel ${frame.channel} of ${node.name}`)
    if (!view.isWhole(frame.epoch)) return say(`its epoch ${frame.epoch} is not whole on ${node.name}`)
    if (!view.isDurable(frame)) return say(`not durable on ${node.name}`)
    const loose = view.seals.get(frame.epoch)?.find((seal) => !view.isDurable(seal))
    if (loose !== undefined)
      return say(`the seal of its epoch on channel ${loose.channel} is not durable on ${node.name}`)
  }

  /** Undefined where that master's disk was replaced since. */
  #masterOf(answer: Answer): NodeState | undefined {
    const isOf = (id: string): boolean => answer.term.includes(` of ${id.slice(0, 8)} `)
    const found = [...this.#nodes.values()].find(({ node }) => isOf(node.nodeId))
    if (found === undefined && ![...this.#masterIds].some(isOf))
      throw new Violation('stored', `an answer names an unknown master: ${answer.term}`)
    return found
  }

  #state(name: string): NodeState {
    return this.#nodes.get(name)! // every node of a run is watched
  }
}

const placeOf = (frame: ViewFrame): string => `channel ${frame.channel} position ${frame.position} term ${frame.term}`

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
