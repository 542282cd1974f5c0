/** A state vector in words, for traces. */
import { atName, OP_NAMES, Op } from './channel-driver.ts'
import { Channel, DEAD, LAYER_MINUS_ONE, LAYER_NONE, type Layout, Log, SEAL_BIT } from './state-vector.ts'

function layerText(code: number): string {
  if (code === LAYER_NONE) return 'NONE'
  if (code === LAYER_MINUS_ONE) return '-1'
  return code === DEAD ? '-' : String(code)
}

/** Where a channel stands: its operation and the `at` registers of the machines that are under way. */
export function whereText(layout: Layout, state: Uint8Array, channel: number): string {
  const at = layout.channel(channel)
  const op = state[at + Channel.op]!
  if (op === Op.idle) return 'idle'
  const registers = [Channel.flushAt, Channel.announceAt, Channel.acknowledgeAt, Channel.recomputeAt]
  const names = registers.map((register) => state[at + register]!).filter((code) => code !== 0)
  return [OP_NAMES[op], ...names.map(atName)].join('.')
}

export function stateText(layout: Layout, state: Uint8Array): string {
  const words = (from: number, count: number): string =>
    [...state.subarray(from, from + count)].map(layerText).join(' ')
  const { channels, rows, config } = layout
  const lines = [
    `open ${state[layout.open]}, stored ${state[layout.stored]}, propagated ${state[layout.propagated]}, ` +
      `waiting [${words(layout.waiting, channels)}], part [${words(layout.part, channels * config.ring)}], cells [${words(layout.cell, channels * rows)}]`,
  ]
  if (config.replica) {
    lines.push(
      `control ${state[layout.phase] === 0 ? 'lets session' : 'ends session'} ${state[layout.session]}, life ${state[layout.life]}, ` +
        `durable in each life [${words(layout.lifeDurable, channels * config.lives)}]`,
    )
  }
  for (let channel = 0; channel < channels; channel++) lines.push(channelText(layout, state, channel))
  return lines.join('\n')
}

function channelText(layout: Layout, state: Uint8Array, channel: number): string {
  const at = layout.channel(channel)
  const log = layout.log(channel)
  const records = Array.from({ length: state[log + Log.length]! }, (_, record) => {
    const head = state[log + Log.records + 2 * record]!
    const participants = state[log + Log.records + 2 * record + 1]!
    return (head & SEAL_BIT) === 0 ? `batch@${head}` : `SEAL@${head & ~SEAL_BIT}{${participants.toString(2)}}`
  })
  return [
    `c${channel} ${whereText(layout, state, channel)}`,
    `announced ${layerText(state[at + Channel.announced]!)}`,
    `to come ${state[at + Channel.remaining]}`,
    `wake ${state[at + Channel.wakePending]}, flush due ${state[at + Channel.flushPending]}, session ${state[at + Channel.link]}`,
    `log [${records.join(' ')}] durable ${state[log + Log.durable]} sent ${state[log + Log.sent]}`,
    `answered ${state[log + Log.answeredStored]} stored ${state[log + Log.answeredPropagated]} propagated`,
  ].join('; ')
}
