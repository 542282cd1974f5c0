/**
 * What a seed looks at more closely. Drawn from everything alike, some schedules are too rare to be met: each focus draws
 * what one kind of defect needs, together.
 *
 *   board    few writers that wait for each other's channels, long pauses between the steps of the board, small rings
 *   links    replicas that return, or are replaced, while a channel of the master stands still
 *   power    the power goes again and again, under frames of one size, in flushes and in recoveries
 */
import type { SeededRandom } from '../sim/seeded-random.ts'
import type { Configuration, FaultKind } from './configuration.ts'

export type Focus = 'anything' | 'board' | 'links' | 'power'

type Habits = Configuration['clients']

/** Of three runs one is about anything. */
export function drawFocus(random: SeededRandom): Focus {
  return (['anything', 'anything', 'board', 'board', 'links', 'power'] as const)[random.below(6)]! // of six
}

export function focused(drawn: Configuration, random: SeededRandom): Configuration {
  switch (drawn.focus) {
    case 'anything':
      return drawn
    case 'board':
      return onBoard(drawn, random)
    case 'links':
      return onLinks(drawn, random)
    case 'power':
      return onPower(drawn, random)
  }
}

function onBoard(drawn: Configuration, random: SeededRandom): Configuration {
  const among = amongOf(random)
  const channels = among(2, 2, 3)
  const bound = among(2, 2, 3, 64)
  const habit = {
    valueBytesMin: 10,
    valueBytesMax: among(10, 400),
    burst: among(2, 3, 4),
    pauseMsMax: among(0, 0, 3),
    waits: true,
    reconnects: true,
    sessions: among(40, 80),
  }
  return {
    ...drawn,
    channels,
    replicas: among(0, 0, 1),
    epochSlots: { bound, ring: bound + among(0, 1, bound) },
    ticks: among(300, 1_000),
    latencyMicrosMin: 5,
    latencyMicrosMax: 50,
    stepMicros: among(3, 30),
    stepsPerPause: among(4, 10, 30, 100),
    pauseMicros: among(100, 500, 2_000, 10_000),
    clients: Array.from({ length: among(1, 1, 2) }, (_, i) => ({ ...habit, channels: i === 0 ? channels : 1 })),
    faults: ['pause channel', 'slow disk', 'power', 'kill', 'several at once'],
    faultCount: among(0, 0, 2),
  }
}

function onLinks(drawn: Configuration, random: SeededRandom): Configuration {
  const among = amongOf(random)
  const one = {
    valueBytesMin: 100,
    valueBytesMax: 400,
    burst: among(1, 3),
    pauseMsMax: among(30, 100),
    waits: false,
    reconnects: true,
    channels: 1,
    sessions: 100,
  }
  const returns: FaultKind = 'return to a paused channel'
  return {
    ...drawn,
    channels: among(2, 3),
    replicas: among(1, 1, 2),
    ticks: among(3_000, 5_000),
    clients: [one, one, { ...one, pauseMsMax: 10 }],
    faults: [returns, returns, returns, 'replace replica', 'half-open connection', 'pause channel', 'several at once'],
    faultCount: 2 + random.below(6),
  }
}

function onPower(drawn: Configuration, random: SeededRandom): Configuration {
  const among = amongOf(random)
  const bytes = among(10, 300, 430)
  const clients: Habits = drawn.clients.map((client) => ({ ...client, valueBytesMin: bytes, valueBytesMax: bytes }))
  return {
    ...drawn,
    channels: among(1, 2, 2, 3),
    ticks: among(1_000, 2_000),
    syncMicrosMin: 200,
    syncMicrosMax: among(400, 4_000),
    stepsPerPause: among(0, 100, 1_000),
    recoveriesPerEnd: 2,
    clients,
    faults: ['power', 'power', 'kill then power', 'end in the middle', 'several at once'],
    faultCount: 4 + random.below(8),
  }
}

const amongOf =
  (random: SeededRandom) =>
  <T>(...choices: readonly T[]): T =>
    choices[random.below(choices.length)]! // it has one
