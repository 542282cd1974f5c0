/**
 * Simulated time and the threads of a simulated world: one queue of events, one thing at a time.
 *
 * Time is a whole number of microseconds and moves only from event to event; reading it has no effect. What happens at the
 * same time happens in the order in which it was planned. A thread (`Actor`) takes its tasks one by one; an operation
 * on the board is a task whose steps are events of their own, so that other threads go on between any two of them.
 *
 * Code that uses promises (the control thread of a node, clients) is followed until nothing more comes of its microtasks,
 * before the next event is looked at: the order of everything is given by the seed alone.
 */
import { InvariantError } from '../../protocol/assert.ts'
import type { Operation, StepMachine } from '../../wal/log-port.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import { EventHeap } from './event-heap.ts'

/** Thrown where a simulated process ends in the middle of something. Nobody may catch it and go on. */
export class LifeEnded extends Error {
  constructor() {
    super('the simulated process has ended')
    this.name = 'LifeEnded'
  }
}

/** Far more than any run needs: something goes round in circles. */
const EVENTS_LIMIT = 3_000_000

class EndlessError extends Error {
  constructor() {
    super(`liveness: ${EVENTS_LIMIT} events, and no end`)
    this.name = 'EndlessError'
  }
}

/** A process: when it has ended nothing of it moves any more. */
export interface Life {
  readonly name: string
  isAlive: boolean
}

export type OnError = (error: unknown, actor: Actor | undefined) => void

export class Scheduler {
  /** Microseconds. */
  now = 0
  events = 0
  /** What is running has made a promise, though its thread does so rarely. */
  hasPromises = false
  /** The thread that is running. */
  current: Actor | undefined
  /** Called before each event with its number, from 1 on. */
  onEvent: ((event: number) => void) | undefined
  readonly #heap = new EventHeap()
  readonly #onError: OnError
  #isSettling = false

  constructor(onError: OnError) {
    this.#onError = onError
  }

  at(time: number, act: () => void): void {
    this.#heap.push(Math.max(time, this.now), act)
  }

  in(delay: number, act: () => void): void {
    this.at(this.now + delay, act)
  }

  /** Runs until `isOver`, or until nothing is planned any more. */
  async run(isOver: () => boolean): Promise<void> {
    for (;;) {
      if (isOver()) return
      const event = this.#heap.pop()
      if (event === undefined) return
      this.now = event.time
      this.events += 1
      this.onEvent?.(this.events)
      if (this.events > EVENTS_LIMIT) throw new EndlessError()
      try {
        event.act()
      } catch (error) {
        this.#onError(error, this.current)
      }
      const { current } = this
      if (current !== undefined && (current.usesPromises || this.hasPromises)) await this.#settle(current)
      this.current = undefined
      this.hasPromises = false
    }
  }

  /** Lets promises settle, then does what was planned for the end of the turn, until there is nothing left. */
  async #settle(actor: Actor): Promise<void> {
    do {
      await new Promise<void>((resolve) => setImmediate(resolve)) // all microtasks run before it
      try {
        this.#isSettling = actor.endTurn()
      } catch (error) {
        this.#isSettling = true
        this.#onError(error, actor)
      }
    } while (this.#isSettling)
  }
}

export interface Pace {
  readonly random: SeededRandom
  /** Longest time that one step on the board takes. */
  readonly stepMicros: number
  /** Of so many steps one is followed by a pause; 0: none is. */
  readonly stepsPerPause: number
  readonly pauseMicros: number
}

export class Actor {
  readonly name: string
  readonly life: Life
  readonly usesPromises: boolean
  readonly #scheduler: Scheduler
  readonly #pace: Pace
  /** Tasks and operations; whoever arrives first is first. */
  #inbox: (() => void)[] = []
  #operations: Operation[] = []
  #running: { readonly operation: Operation; readonly machine: StepMachine } | undefined
  #endOfTurn: (() => void)[] = []
  #isPlanned = false
  #freeAt = 0

  constructor(name: string, of: { life: Life; scheduler: Scheduler; pace: Pace; usesPromises: boolean }) {
    this.name = name
    this.life = of.life
    this.#scheduler = of.scheduler
    this.#pace = of.pace
    this.usesPromises = of.usesPromises
  }

  /** A task for this thread, when it has done what came before. */
  post(task: () => void): void {
    if (!this.life.isAlive) return
    this.#inbox.push(task)
    this.#plan()
  }

  atEndOfTurn(act: () => void): void {
    this.#endOfTurn.push(act)
  }

  /** @returns was there anything? */
  endTurn(): boolean {
    const acts = this.#endOfTurn
    this.#endOfTurn = []
    for (const act of acts) if (this.life.isAlive) act()
    return acts.length > 0
  }

  /** RunOperation of this thread. */
  readonly run = (operation: Operation): void => {
    this.#operations.push(operation)
    this.#plan()
  }

  /** In an operation on the board, of which each step has its own time. */
  get isInOperation(): boolean {
    return this.#running !== undefined
  }

  /** When it will have done what it is doing now. */
  get freeAt(): number {
    return this.#freeAt
  }

  /** What this thread is doing takes so much longer. */
  busy(micros: number): void {
    this.#freeAt = Math.max(this.#freeAt, this.#scheduler.now) + micros
  }

  #plan(): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    this.#scheduler.at(this.#freeAt, this.#turn)
  }

  readonly #turn = (): void => {
    this.#isPlanned = false
    if (!this.life.isAlive) return
    if (this.#freeAt > this.#scheduler.now) return this.#plan()
    this.#scheduler.current = this
    try {
      this.#act()
    } finally {
      if (this.#running !== undefined || this.#operations.length > 0 || this.#inbox.length > 0) this.#plan()
    }
  }

  #act(): void {
    if (this.#running !== undefined) return this.#step(this.#running)
    const operation = this.#operations.shift()
    if (operation !== undefined) {
      this.#running = { operation, machine: operation.begin() }
      return
    }
    this.busy(1)
    this.#inbox.shift()?.()
  }

  #step({ operation, machine }: { operation: Operation; machine: StepMachine }): void {
    const { random, stepMicros, stepsPerPause, pauseMicros } = this.#pace
    this.busy(random.below(stepMicros + 1))
    if (stepsPerPause > 0 && random.chance(1, stepsPerPause)) this.busy(pauseMicros + random.below(pauseMicros))
    let isDone: boolean
    try {
      isDone = machine.step()
    } catch (thrown) {
      this.#running = undefined
      if (thrown instanceof LifeEnded || thrown instanceof InvariantError) throw thrown
      operation.failed(thrown)
      return
    }
    if (!isDone) return
    this.#running = undefined
    operation.done()
  }
}
