/**
 * Answers one scrape: reads the slots of all channel threads and what the control thread knows, and lets prom-client
 * merge and print them. Nothing is kept between scrapes, and nothing is counted in here.
 *
 * prom-client's own metrics of the process (CPU, memory, garbage collection) come along under their own names.
 */
import { AggregatorRegistry, collectDefaultMetrics, type MetricObjectWithValues, Registry } from 'prom-client'
import { ERROR_CODES, type ErrorCode } from '../../protocol/errors.ts'
import type { NodeStatus } from '../node-status.ts'
import type { LoopDelay } from './loop-delay.ts'
import { METRICS, type MetricFacts, type MetricName } from './metric-table.ts'
import type { ThreadHealth } from './progress-watch.ts'
import type { RecoveryProgress } from './recovery-progress.ts'
import { STAGE_BOUNDS_SECONDS, STAGES, type StatSlots } from './stat-slots.ts'

/** What there is to tell at this moment. */
export interface MetricsView {
  readonly version: string
  readonly ready: boolean
  /** undefined: the node does not listen yet. */
  readonly status: NodeStatus | undefined
  readonly channels: readonly StatSlots[]
  readonly threads: readonly ThreadHealth[]
  /** Of the control thread. */
  readonly loopDelay: LoopDelay
  /** By code: lines of the log at warn and above, and what was told on the control channel. */
  readonly errors: ReadonlyMap<string, number>
  /** Per channel. */
  readonly recovery: Pick<RecoveryProgress, 'readBytes' | 'totalBytes'>
}

interface Sample {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  /** Of a histogram: which of its series. */
  readonly metricName?: string
}

export class Scraper {
  readonly #process = new Registry()

  constructor() {
    // coarse: the loops have a metric of their own, and a fine one would wake an idle process a hundred times a second
    collectDefaultMetrics({ register: this.#process, eventLoopMonitoringPrecision: 100 })
  }

  get contentType(): string {
    return this.#process.contentType
  }

  async text(view: MetricsView): Promise<string> {
    const names = Object.keys(METRICS) as MetricName[] // its own keys
    const ours = names.map((name) => metricOf(name, SAMPLES[name](view))).filter(({ values }) => values.length > 0)
    const merged = AggregatorRegistry.aggregate([ours, await this.#process.getMetricsAsJSON()])
    return merged.metrics()
  }
}

function metricOf(name: MetricName, values: Sample[]): MetricObjectWithValues<Sample> {
  const { type, help }: MetricFacts = METRICS[name]
  // prom-client types the kind as an enum and reads it as this text
  return { name, help, type, aggregator: 'sum', values } as unknown as MetricObjectWithValues<Sample>
}

const one = (value: number | boolean): Sample[] => [{ labels: {}, value: Number(value) }]

const perChannel =
  (read: (stats: StatSlots) => number) =>
  ({ channels }: MetricsView): Sample[] =>
    channels.map((stats, channel) => ({ labels: { channel }, value: read(stats) }))

/** One sample per replica and channel of a master. Before it has streamed, its row may tell of a member that was removed. */
function perRow(view: MetricsView, read: (stats: StatSlots, row: number) => number): Sample[] {
  const told = view.status?.replicas.filter(({ lagBytes }) => lagBytes !== undefined) ?? []
  return told.flatMap(({ row, address }) =>
    view.channels.map((stats, channel) => ({ labels: { replica: address, channel }, value: read(stats, row) })),
  )
}

function loopDelays(view: MetricsView, field: keyof LoopDelay, read: (stats: StatSlots) => number): Sample[] {
  return [
    { labels: { thread: 'control' }, value: view.loopDelay[field] },
    ...view.channels.map((stats, channel) => ({ labels: { thread: `channel-${channel}` }, value: read(stats) })),
  ]
}

/** A metric of the table without an entry here does not compile. */
const SAMPLES: Readonly<Record<MetricName, (view: MetricsView) => Sample[]>> = {
  travertine_info: ({ status, version }) =>
    status === undefined
      ? []
      : [{ labels: { role: status.role, cluster: status.clusterId, node: status.nodeId, version }, value: 1 }],
  travertine_ready: ({ ready }) => one(ready),
  travertine_term: ({ status }) => (status === undefined ? [] : one(Number(status.term))),
  travertine_epoch: watermarks,
  travertine_replica_streaming: ({ status }) =>
    (status?.replicas ?? []).map(({ address, state }) => ({
      labels: { replica: address },
      value: Number(state === 'streaming'),
    })),
  travertine_replica_lag_bytes: (view) =>
    perRow(view, (stats, row) => Math.max(0, stats.get('durablePosition') - stats.row(row, 'durablePosition'))),
  travertine_replica_lag_seconds: (view) => perRow(view, (stats, row) => stats.row(row, 'lagSeconds')),
  travertine_commit_stage_seconds: stageSamples,
  travertine_epochs_closed_total: ({ channels }) =>
    channels.flatMap((stats, channel) => [
      { labels: { channel, reason: 'drained' }, value: stats.get('closedDrained') },
      { labels: { channel, reason: 'full' }, value: stats.get('closedFull') },
      { labels: { channel, reason: 'others' }, value: stats.get('closedByOthers') },
    ]),
  travertine_channel_flushes_total: perChannel((stats) => stats.get('flushes')),
  travertine_channel_sessions_total: perChannel((stats) => stats.get('sessions')),
  travertine_channel_entries_total: perChannel((stats) => stats.get('entries')),
  travertine_channel_frames_total: perChannel((stats) => stats.get('frames')),
  travertine_channel_written_bytes_total: perChannel((stats) => stats.get('writtenBytes')),
  travertine_channel_position_bytes: ({ channels }) =>
    channels.flatMap((stats, channel) => [
      { labels: { channel, position: 'appended' }, value: stats.get('appendedPosition') },
      { labels: { channel, position: 'durable' }, value: stats.get('durablePosition') },
    ]),
  travertine_channel_queue_bytes: perChannel((stats) => stats.get('queuedBytes')),
  travertine_connections: connectionSamples,
  travertine_errors_total: errorSamples,
  travertine_policy_loosened_total: ({ status }) => (status?.role === 'master' ? one(status.loosened) : []),
  travertine_disk_low: ({ status }) => one(status?.diskLow ?? false),
  travertine_thread_alive: ({ threads }) =>
    threads.map(({ name, alive }) => ({ labels: { thread: name }, value: Number(alive) })),
  travertine_event_loop_delay_mean_seconds: (view) =>
    loopDelays(view, 'meanSeconds', (stats) => stats.get('loopDelayMeanSeconds')),
  travertine_event_loop_delay_p99_seconds: (view) =>
    loopDelays(view, 'p99Seconds', (stats) => stats.get('loopDelayP99Seconds')),
  travertine_event_loop_delay_max_seconds: (view) =>
    loopDelays(view, 'maxSeconds', (stats) => stats.get('loopDelayMaxSeconds')),
  travertine_recovery_read_bytes: ({ recovery }) =>
    recovery.readBytes.map((value, channel) => ({ labels: { channel }, value })),
  travertine_recovery_total_bytes: ({ recovery }) =>
    recovery.totalBytes.map((value, channel) => ({ labels: { channel }, value })),
}

function watermarks({ status }: MetricsView): Sample[] {
  if (status === undefined) return []
  const names = status.role === 'master' ? MASTER_WATERMARKS : REPLICA_WATERMARKS
  return names.map((watermark) => ({ labels: { watermark }, value: Number(status[watermark]) }))
}

const MASTER_WATERMARKS = ['open', 'closed', 'stored', 'propagated'] as const
const REPLICA_WATERMARKS = ['whole', 'propagated'] as const

function stageSamples({ channels }: MetricsView): Sample[] {
  const name: MetricName = 'travertine_commit_stage_seconds'
  return channels.flatMap((stats, channel) =>
    STAGES.flatMap((stage) => {
      const { counts, sumSeconds } = stats.stage(stage)
      const labels = { channel, stage }
      let count = 0
      const buckets = counts.map((inBucket, i) => {
        count += inBucket
        return {
          labels: { ...labels, le: STAGE_BOUNDS_SECONDS[i] ?? '+Inf' },
          value: count,
          metricName: `${name}_bucket`,
        }
      })
      return [
        ...buckets,
        { labels, value: sumSeconds, metricName: `${name}_sum` },
        { labels, value: count, metricName: `${name}_count` },
      ]
    }),
  )
}

function connectionSamples({ status, channels }: MetricsView): Sample[] {
  const control = { labels: { kind: 'control', channel: '' }, value: status?.controlConnections ?? 0 }
  const rows = (status?.replicas ?? []).map(({ row }) => row)
  return [
    control,
    ...channels.flatMap((stats, channel) => [
      { labels: { kind: 'client', channel }, value: stats.get('clients') },
      { labels: { kind: 'reader', channel }, value: stats.get('readers') },
      { labels: { kind: 'master', channel }, value: stats.get('masters') },
      { labels: { kind: 'replica', channel }, value: rows.reduce((sum, row) => sum + stats.row(row, 'streaming'), 0) },
    ]),
  ]
}

function errorSamples({ channels, errors }: MetricsView): Sample[] {
  const told = (Object.keys(ERROR_CODES) as ErrorCode[]) // its own keys
    .map((code) => ({ labels: { code }, value: channels.reduce((sum, stats) => sum + stats.errors(code), 0) }))
  return [...told, ...[...errors].map(([code, value]) => ({ labels: { code }, value }))] // summed up when merged
}
