/**
 * Every metric of ours: one table, from which come what is scraped and docs/METRICS.md (a test compares, and rewrites the
 * page on demand). Names end in their unit; `_total` is a counter. A metric that is not in here cannot be scraped.
 */
import { STAGES } from './stat-slots.ts'

export interface MetricFacts {
  readonly type: 'gauge' | 'counter' | 'histogram'
  readonly unit: string
  readonly labels: readonly string[]
  /** One sentence, without the full stop. */
  readonly help: string
}

export const METRICS = {
  travertine_info: {
    type: 'gauge',
    unit: 'always 1',
    labels: ['role', 'cluster', 'node', 'version'],
    help: 'What this node is',
  },
  travertine_ready: {
    type: 'gauge',
    unit: '0 or 1',
    labels: [],
    help: 'Whether the node does what it is for; /readyz gives the reason',
  },
  travertine_term: {
    type: 'gauge',
    unit: 'number',
    labels: [],
    help: 'Number of the latest term that this node knows; grows with every start of a master',
  },
  travertine_epoch: {
    type: 'gauge',
    unit: 'epoch',
    labels: ['watermark'],
    help: 'Watermarks: open, closed, stored, propagated, in falling order, on a master; whole and propagated on a replica',
  },
  travertine_replica_streaming: {
    type: 'gauge',
    unit: '0 or 1',
    labels: ['replica'],
    help: 'Whether a replica receives the log on all channels from this node; while it is 0 for a member that counts, PROPAGATED waits',
  },
  travertine_replica_lag_bytes: {
    type: 'gauge',
    unit: 'bytes',
    labels: ['replica', 'channel'],
    help: 'What is durable on this node and not known to be durable on the replica that it feeds',
  },
  travertine_replica_lag_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['replica', 'channel'],
    help: 'Age of the oldest flush that was sent to the replica and is not durable there, as of the last second',
  },
  travertine_commit_stage_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: ['channel', 'stage'],
    help: `Time of a flush by stage, one observation per flush: ${STAGES.join(', ')}`,
  },
  travertine_epochs_closed_total: {
    type: 'counter',
    unit: 'epochs',
    labels: ['channel', 'reason'],
    help: 'Epochs that ended on this channel: drained (the queue was taken), full (a flush took all it may), others (another channel closed it)',
  },
  travertine_channel_flushes_total: {
    type: 'counter',
    unit: 'flushes',
    labels: ['channel'],
    help: 'Batches that were written and made durable together',
  },
  travertine_channel_sessions_total: {
    type: 'counter',
    unit: 'sessions',
    labels: ['channel'],
    help: 'Write sessions appended to the log',
  },
  travertine_channel_entries_total: {
    type: 'counter',
    unit: 'entries',
    labels: ['channel'],
    help: 'Entries appended to the log',
  },
  travertine_channel_frames_total: {
    type: 'counter',
    unit: 'frames',
    labels: ['channel'],
    help: 'Frames of all kinds appended to the log',
  },
  travertine_channel_written_bytes_total: {
    type: 'counter',
    unit: 'bytes',
    labels: ['channel'],
    help: 'Bytes appended to the log and durable',
  },
  travertine_channel_position_bytes: {
    type: 'gauge',
    unit: 'bytes',
    labels: ['channel', 'position'],
    help: 'End of the log since the channel was born: appended, durable',
  },
  travertine_channel_queue_bytes: {
    type: 'gauge',
    unit: 'bytes',
    labels: ['channel'],
    help: 'Sessions that wait for their flush on a master, frames that wait for theirs on a replica',
  },
  travertine_connections: {
    type: 'gauge',
    unit: 'connections',
    labels: ['channel', 'kind'],
    help: 'Open connections: control, and per channel client, reader, replica (that this node feeds), master (whoever feeds this node)',
  },
  travertine_errors_total: {
    type: 'counter',
    unit: 'errors',
    labels: ['code'],
    help: 'Times that an error was logged at warn or above, or told to a client or peer; docs/RUNBOOK.md has a section per code',
  },
  travertine_policy_loosened_total: {
    type: 'counter',
    unit: 'changes',
    labels: [],
    help: 'Changes of members or policy after which PROPAGATED promised less, since the cluster was made',
  },
  travertine_disk_low: {
    type: 'gauge',
    unit: '0 or 1',
    labels: [],
    help: 'Whether free space is below the low-water mark; new sessions are refused then',
  },
  travertine_thread_alive: {
    type: 'gauge',
    unit: '0 or 1',
    labels: ['thread'],
    help: 'Whether a channel thread makes progress; the control thread is the one that answers',
  },
  travertine_event_loop_delay_mean_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['thread'],
    help: 'How late an event loop is, mean of the last 15 to 30 seconds; a channel thread waits for its disk on purpose',
  },
  travertine_event_loop_delay_p99_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['thread'],
    help: 'The same, 99th percentile',
  },
  travertine_event_loop_delay_max_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['thread'],
    help: 'The same, maximum',
  },
  travertine_recovery_read_bytes: {
    type: 'gauge',
    unit: 'bytes',
    labels: ['channel'],
    help: 'What recovery has read of the log at this start',
  },
  travertine_recovery_total_bytes: {
    type: 'gauge',
    unit: 'bytes',
    labels: ['channel'],
    help: 'What it has to read at most; files that are only prepared are counted, and mostly not read',
  },
} as const satisfies Readonly<Record<string, MetricFacts>>

export type MetricName = keyof typeof METRICS
