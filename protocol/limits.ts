/**
 * Every limit of the system in one place, with the reason for its number. Relations between them are asserted below.
 *
 * A limit that a peer can exceed is answered with a `TravertineError`; none of these is ever an allocation hint taken
 * from a peer.
 */
import { assert } from './assert.ts'

export const KIB = 1024
export const MIB = 1024 * KIB
export const GIB = 1024 * MIB

/** Channels of a cluster; a seal names its participants in one u64. */
export const CHANNEL_COUNT_LIMIT = 64
/** Rows of the board: row 0 is the local disk, the others are replicas. */
export const REPLICA_COUNT_LIMIT = 15
/** Replicas between a master and another replica, each fed by the one before it. Every one adds a flush to what is read below. */
export const CASCADE_DEPTH_LIMIT = 16

/** Body of one frame, which is one write session. Larger values are for BLOBs. */
export const SESSION_BYTES_LIMIT = 16 * MIB
/** Entries of one session: the smallest entry is 25 bytes, so the body limit would allow 671,088. */
export const SESSION_ENTRIES_LIMIT = 650_000
/** One control message. The largest is a session_begin with its term-history tail. */
export const CONTROL_MESSAGE_BYTES_LIMIT = 1 * MIB
/** One reply on a log connection; the largest carries an error text. */
export const LOG_REPLY_BYTES_LIMIT = 64 * KIB

/** Bytes of sessions queued on one channel before its sockets are paused. Two of the largest sessions fit. */
export const CHANNEL_QUEUE_BYTES_LIMIT = 2 * SESSION_BYTES_LIMIT
/** Bytes written by one flush: bounds the time one fdatasync takes, and so everybody's latency. */
export const FLUSH_BYTES_LIMIT = 4 * MIB
/** Bytes of unsent frames a replica's socket may hold before its sender reads from the files instead: two large flushes. */
export const SENDER_QUEUE_BYTES_LIMIT = 2 * FLUSH_BYTES_LIMIT
/**
 * Bytes read from the files in one go for a replica or reader that is behind: a commit that comes meanwhile waits for it. Half
 * of what Linux reads ahead, so that the next slice is on its way from the disk while this one is sent.
 */
export const LOG_SLICE_BYTES = 64 * KIB
/** Bytes that a replica flushes at once when they come faster than it flushes: each flush of new blocks has its price. */
export const REPLICA_FLUSH_BYTES_LIMIT = 2 * FLUSH_BYTES_LIMIT
/** So many bytes in one turn of the event loop: there is more where they came from. Node reads at most 2 MiB in a turn. */
export const REPLICA_TURN_BYTES = 1 * MIB
/** Bytes that wait in a reader's socket, and a slice. Small, as there may be many: over TLS one flush brings a reader no further. */
export const READER_QUEUE_BYTES_LIMIT = 1 * MIB
/** Reader sessions of one node: bounds what their sockets hold, and the reading that commits have to share a thread with. */
export const READER_COUNT_LIMIT = 64
/** Bytes that a subscription gathers before channels that are ahead have to wait, unless the application says otherwise. */
export const READER_MEMORY_BYTES_DEFAULT = 64 * MIB
/** Least of it: one session of the largest size. */
export const READER_MEMORY_BYTES_MIN = 16 * MIB
/** Bytes of one epoch on one channel. An epoch has one flush per channel, more only while the disk of another one hangs. */
export const READER_EPOCH_BYTES_LIMIT = 1 * GIB
/** Unsent bytes of replies at which a client that does not read them, or of messages at which any peer, is cut off. */
export const UNREAD_BYTES_LIMIT = 4 * MIB
/** A connection on which nothing was said for so long is probed by the kernel, which forgets a peer that is gone. */
export const SOCKET_KEEP_ALIVE_MS = 15_000
/** STORED waits so long, at most twice, for a PROPAGATED to go with, where writers wait for that: many flushes of a good disk. */
export const STORED_HELD_MS = 5
/** Bytes a client keeps in flight on one channel before `ready()` and `end()` make the application wait. */
export const CLIENT_WINDOW_BYTES = 16 * MIB
/** Unanswered bytes at which `end()` refuses: only an application that never awaits `ready()` gets there. */
export const CLIENT_UNANSWERED_BYTES_LIMIT = 4 * CLIENT_WINDOW_BYTES
/** Calls that wait for room on one channel of a client; each holds its entries. */
export const CLIENT_WAITING_CALLS_LIMIT = 1_000_000
/** Room that one woken `ready()` is thought to use, so that one answer does not wake ten thousand writers at once. */
export const CLIENT_READY_GRANT_BYTES = 64 * KIB
/** Client frames are built side by side in slabs of this size: one turn of the event loop is mostly one write. */
export const CLIENT_SLAB_BYTES = 256 * KIB
/** Slabs kept for reuse per channel, as many as one flush of the node answers at once; more are left to the garbage collector. */
export const CLIENT_SLAB_POOL_COUNT = FLUSH_BYTES_LIMIT / CLIENT_SLAB_BYTES
/** Unsent bytes at which a client writes at once instead of at the end of the turn: the node starts to work earlier. */
export const CLIENT_EARLY_FLUSH_BYTES = 64 * KIB
/** Least distance of two deadline sweeps of a channel: bounds their cost, and how late a deadline may be noticed. */
export const CLIENT_SWEEP_MS_MIN = 10
/** Longest deadline of a call: a timer's limit, 24 days. */
export const CLIENT_DEADLINE_MS_LIMIT = 2_147_483_647
/** After the end of its control connection a client still listens for answers on their way, on log connections. */
export const CLIENT_GOODBYE_MS = 1_000
/** Times `connect` follows "the master is over there": a node that has just lost its mastership may still point away. */
export const CLIENT_REDIRECT_COUNT_LIMIT = 3
/** Addresses given to one `connect`. */
export const CLIENT_ADDRESS_COUNT_LIMIT = 64

/** Producers of one channel that its table remembers; beyond, the one that has not written for the longest time goes. */
export const PRODUCER_COUNT_LIMIT = 16_384
/** Ranges of missing sessions remembered per producer, and told in one log_open_ok; each costs a rejection or a loss. */
export const PRODUCER_RANGE_COUNT_LIMIT = 32

/** Records of who waits for PROPAGATED on one channel, beside 17 for each connection, before they are thinned out. */
export const UNPROPAGATED_RECORDS_LIMIT = 4096

/** Epochs that may be closed and not yet STORED. More would let a stuck disk collect work without end. */
export const EPOCH_BOUND = 64
/** Slots of the participation ring; at least BOUND, so that no slot is reused while its epoch may still be sealed. */
export const EPOCH_RING = 128

export const SEGMENT_BYTES_DEFAULT = 64 * MIB
export const SEGMENT_BYTES_MIN = 64 * KIB
export const SEGMENT_BYTES_LIMIT = 1 * GIB
/** Free bytes below which new sessions are refused, per channel and segment: the next segment must fit, twice. */
export const LOW_WATER_SEGMENTS = 2
/** Segments of one channel that may have holes at a time: the one being written and the next. Room for them is kept. */
export const HOLE_SEGMENTS = 2

/** Connections of the control port, and of each log port. */
export const CONNECTION_COUNT_LIMIT = 4096
/** Of these from one address: a quarter, so that one machine that goes wild leaves room for the others. */
export const ADDRESS_CONNECTION_COUNT_LIMIT = CONNECTION_COUNT_LIMIT / 4
/** Connections above a limit that are told so at one time; more are cut without a word. */
export const REFUSED_CONNECTION_COUNT_LIMIT = 256
/** Between two lines of the log that say so. */
export const REFUSED_NOTE_MS = 60_000
/** Of a shared secret: 32 hex digits are 128 bits. Shorter ones can be guessed from one recorded handshake. */
export const SECRET_CHARS_MIN = 32
export const HANDSHAKE_MS_MAX = 5_000
export const HEARTBEAT_INTERVAL_MS = 500
/** Silence after which a peer counts as gone: six lost heartbeats. */
export const HEARTBEAT_TIMEOUT_MS = 3_000
export const RECONNECT_MS_MIN = 50
export const RECONNECT_MS_MAX = 2_000
/** Silence on a replica's log connection after which it is made anew, where bytes are on their way and the control connection lives. */
export const ACK_SILENCE_MS_MAX = 15_000
/** Nodes that a mastership remembers to have claimed more than it had appended (REPLICA_AHEAD); then the eldest is judged anew. */
export const NODES_AHEAD_LIMIT = 64
/** A feeder that nobody feeds lets go of those below so often, and for so long: others try again meanwhile, more than once. */
export const UNFED_MS_MAX = 30_000
export const UNFED_REST_MS = 2 * RECONNECT_MS_MAX
/** Time a peer has to take our last words and close its side; then the socket is destroyed. */
export const LINGER_MS_MAX = 5_000
/** Drain at shutdown; after it connections are cut. */
export const DRAIN_MS_MAX = 10_000
/** Deadline of a client call unless the application says otherwise. */
export const CLIENT_DEADLINE_MS_DEFAULT = 30_000
/** Pause after the last flush of a channel before its MARK proves that flush durable to a later scan. */
export const IDLE_MARK_MS = 200
/** Entries of the term history that are kept and exchanged. */
export const TERM_HISTORY_LIMIT = 1_000
/** Without a sign of life for so long a thread counts as stuck. The slowest flush of a disk worth keeping is shorter. */
export const THREAD_STALL_MS_MAX = 10_000
/** Connections of the admin port, and the time one request may take: it is for a scraper and a few people. */
export const ADMIN_CONNECTION_COUNT_LIMIT = 64
export const ADMIN_ADDRESS_CONNECTION_COUNT_LIMIT = ADMIN_CONNECTION_COUNT_LIMIT / 2
export const ADMIN_REQUEST_MS_MAX = 10_000
/** A configuration file: all settings with long comments take a tenth. */
export const CONFIG_BYTES_LIMIT = 64 * KIB
export const ERROR_HINT_CHARS_LIMIT = 500
/** Each text of an error on the wire. A place has at most seven, of three bytes per character: a reply holds them all. */
export const ERROR_TEXT_CHARS_LIMIT = 2_000

assert(CHANNEL_QUEUE_BYTES_LIMIT >= 2 * SESSION_BYTES_LIMIT, 'a queue holds one session while the next arrives')
assert(CLIENT_WINDOW_BYTES >= SESSION_BYTES_LIMIT, 'the largest session fits into the window')
assert(
  CLIENT_UNANSWERED_BYTES_LIMIT >= 2 * CLIENT_WINDOW_BYTES,
  'the window stops polite writers before the limit does',
)
assert(CLIENT_EARLY_FLUSH_BYTES < CLIENT_SLAB_BYTES, 'frames of one turn mostly share a slab')
assert(REPLICA_TURN_BYTES < REPLICA_FLUSH_BYTES_LIMIT, 'a replica gathers the bytes of several turns')
assert(READER_EPOCH_BYTES_LIMIT >= 8 * (FLUSH_BYTES_LIMIT + SESSION_BYTES_LIMIT), 'an epoch of several flushes is read')
assert(READER_MEMORY_BYTES_MIN >= SESSION_BYTES_LIMIT, 'the largest session fits into what is read ahead')
assert(EPOCH_RING >= EPOCH_BOUND && EPOCH_BOUND >= 2, 'R >= BOUND >= 2 (DESIGN 4)')
assert(SESSION_ENTRIES_LIMIT * 25 <= SESSION_BYTES_LIMIT, 'a session within the entry limit can fit into its body')
assert(
  3 * (8 * ERROR_TEXT_CHARS_LIMIT + ERROR_HINT_CHARS_LIMIT) < LOG_REPLY_BYTES_LIMIT,
  'an error of ours is never too large for a reply',
)
assert(HEARTBEAT_TIMEOUT_MS >= 3 * HEARTBEAT_INTERVAL_MS, 'one lost heartbeat is no failure')
