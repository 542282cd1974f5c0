/** Enumerated schedules as tests, shared by the quick and the slow ones. */
import type { Test } from 'tap'
import { ACTS, type Act, describeSchedule, type Planned, runSchedule, runToOperation } from './schedules.ts'

export type Schedule = readonly Planned[]

/** @returns how many were run */
export async function expectSound(t: Test, schedules: readonly Schedule[]): Promise<number> {
  const failures: string[] = []
  for (const schedule of schedules) {
    const failure = await runSchedule(schedule)
    if (failure !== undefined) failures.push(`${describeSchedule(schedule)}: ${failure}`)
  }
  t.same(failures, [], `${schedules.length} schedules`)
  return schedules.length
}

/** A node ends before each of its operations on the disk, or each `stride`-th. @returns how many were run */
export async function expectSoundOperations(t: Test, stride: number): Promise<number> {
  const failures: string[] = []
  let count = 0
  for (const node of ['A', 'B'] as const) {
    for (const [i, by] of (['none', 'kill'] as const).entries()) {
      // the two ways take turns: with a stride they are not about the same operations
      for (let operation = 1 + (i * stride) / 2; ; operation += stride) {
        const found = await runToOperation(node, Math.ceil(operation), by)
        if (found === 'beyond') break
        count += 1
        if (found !== undefined) failures.push(`${node} ends before operation ${operation} (${by}): ${found}`)
      }
    }
  }
  t.same(failures, [], `${count} operations`)
  return count
}

/** Two acts: the second at a later event of a run that is another one since the first. */
export function pairsOf(steps: readonly number[], stride: number): Schedule[] {
  const pairs: Schedule[] = []
  let turn = 0
  for (let i = 0; i < steps.length; i += stride) {
    for (let j = i + 1; j < steps.length; j += stride) {
      const [first, second] = [actAt(turn), actAt(Math.floor(turn / ACTS.length) + turn)]
      pairs.push([
        { event: steps[i]!, act: first },
        { event: steps[j]!, act: second },
      ])
      turn += 1
    }
  }
  return pairs
}

const actAt = (turn: number): Act => ACTS[turn % ACTS.length]! // of all of them
