/** The admin port: what a node says of itself before it listens, while it works, and what a scrape counts. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { AdminServer } from '../../daemon/io/admin-server.ts'
import { METRICS } from '../../daemon/metrics/metric-table.ts'
import { STAGES } from '../../daemon/metrics/stat-slots.ts'
import { NodeProbe } from '../../daemon/node-probe.ts'
import { ADMIN_ADDRESS_CONNECTION_COUNT_LIMIT, THREAD_STALL_MS_MAX } from '../../protocol/limits.ts'
import { nodeClock } from '../../world/node-clock.ts'
import { Cluster, type Teardown } from '../daemon/cluster.ts'
import { until, writeMany } from '../daemon/raw-client.ts'
import { type Scrape, scrape } from './scrape.ts'

async function adminOf(t: Teardown, probe: NodeProbe): Promise<number> {
  const server = new AdminServer(probe)
  t.teardown(() => {
    server.close()
    probe.close()
  })
  return server.listen('127.0.0.1', 0)
}

async function get(port: number, path: string, method = 'GET'): Promise<{ code: number; body: unknown; type: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { connection: 'close' } })
  const text = await response.text()
  const type = response.headers.get('content-type') ?? ''
  return { code: response.status, type, body: type.includes('json') && text !== '' ? JSON.parse(text) : text }
}

t.test('before the node listens: alive, not ready, with the reason', async (t) => {
  const said: string[] = []
  const probe = new NodeProbe(2, nodeClock, (text) => said.push(text))
  const port = await adminOf(t, probe)
  probe.recovery.read(0, 3 * 2 ** 20)
  probe.recovery.read(1, 2 ** 19)
  probe.recovery.setTotal(1, 9 * 2 ** 20)
  t.match(await get(port, '/healthz'), { code: 200, body: { alive: true, threads: [] } })
  const readiness = {
    ready: false,
    state: 'initialising',
    reason: 'recovers its log, 3.5 MiB of at most 9.0 MiB read so far',
  }
  t.match(await get(port, '/readyz'), { code: 503, body: readiness })
  t.match(await get(port, '/status.json'), {
    code: 200,
    body: { ...readiness, pid: process.pid, version: /^\d+\.\d+/ },
  })
  const first = await scrape(port)
  t.equal(first.value('travertine_ready'), 0)
  t.equal(first.value('travertine_recovery_read_bytes', { channel: 1 }), 2 ** 19)
  t.equal(first.value('travertine_recovery_total_bytes', { channel: 1 }), 9 * 2 ** 20)
  for (let second = 1; second <= 5; second++) probe.look()
  t.same(new Set(said), new Set([readiness.reason]), 'a start that takes long says so on the log, too')
  t.ok(said.length >= 2 && said.length < 5)
  probe.stopping()
  t.match(await get(port, '/readyz'), { code: 503, body: { state: 'stopping' } })
})

t.test('only what is there, only to read, and nothing hangs', async (t) => {
  const port = await adminOf(t, new NodeProbe(1, nodeClock))
  for (const path of ['/', '/metrics/', '/healthz/x', '//', '/%00', '/__proto__'])
    t.equal((await get(port, path)).code, 404)
  t.equal((await get(port, '/metrics?a=b')).code, 200)
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) t.equal((await get(port, '/metrics', method)).code, 405)
  t.match(await get(port, '/healthz', 'HEAD'), { code: 200, body: '' })
  const socket = connect(port, '127.0.0.1')
  socket.end('this is no HTTP\r\n\r\n')
  socket.resume()
  await once(socket, 'close')
  t.equal((await get(port, '/healthz')).code, 200)
})

t.test('REP-44: a port with too many connections from one address says so, and takes others', async (t) => {
  const port = await adminOf(t, new NodeProbe(1, nodeClock))
  const open = async (localAddress: string) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  const first = await open('127.0.0.1')
  for (let i = 1; i < ADMIN_ADDRESS_CONNECTION_COUNT_LIMIT; i++) await open('127.0.0.1')
  const refused = await get(port, '/healthz')
  t.match(refused, { code: 503, body: /^CONNECTION_LIMIT: .*found 32 of them from 127\.0\.0\.1/ })
  const other = await open('127.0.0.2')
  other.write('GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  t.match(String((await once(other, 'data'))[0]), /^HTTP\/1.1 200 /)
  first.destroy()
  await until('there is room again', () => first.closed)
  for (let code = 503; code !== 200; ) ({ code } = await get(port, '/healthz'))
})

t.test('a channel thread that is stuck: not alive, not ready, by name', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2 })
  const status = (): ReturnType<ReturnType<Cluster['node']>['status']> => cluster.node('m').status()
  let now = 0
  const probe = new NodeProbe(2, { now: () => now })
  const port = await adminOf(t, probe)
  probe.working(status)
  const pass = (beating: readonly number[]): void => {
    for (let ms = 0; ms <= THREAD_STALL_MS_MAX + 1_000; ms += 1_000) {
      now += 1_000
      for (const channel of beating) probe.stats[channel]?.add('heartbeats', 1)
      probe.look()
    }
  }
  pass([0, 1])
  t.match(await get(port, '/healthz'), { code: 200, body: { alive: true } })
  pass([0])
  const threads = [
    { name: 'channel-0', alive: true },
    { name: 'channel-1', alive: false },
  ]
  t.match(await get(port, '/healthz'), { code: 503, body: { alive: false, threads } })
  t.match(await get(port, '/readyz'), { code: 503, body: { reason: /no sign of life of channel-1 for \d+ ms/ } })
  const found = await scrape(port)
  t.equal(found.value('travertine_thread_alive', { thread: 'channel-0' }), 1)
  t.equal(found.value('travertine_thread_alive', { thread: 'channel-1' }), 0)
  pass([0, 1])
  t.match(await get(port, '/healthz'), { code: 200 })
})

t.test('a master and a replica at work: what a scrape counts is what was written', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 1, admin: true })
  await cluster.untilStreaming()
  const [master, replica] = ['m', 'r1'].map((name) => cluster.node(name))
  const ports = { m: master?.admin?.port ?? 0, r1: replica?.admin?.port ?? 0 }
  t.match(await get(ports.m, '/readyz'), { code: 200, body: { reason: 'takes sessions, 1 of 1 replicas stream' } })
  t.match(await get(ports.r1, '/readyz'), { code: 200, body: { reason: /follows the master at 127.0.0.1:\d+/ } })
  const client = await cluster.client()
  const links = [await client.open(0), await client.open(1)]
  writeMany(links[0]!, 'a', 300)
  writeMany(links[1]!, 'b', 20)
  await links[0]!.untilPropagated(300)
  await links[1]!.untilPropagated(20)
  const sessions = [300, 20]
  // once a second the threads tell what they count; the seal of the last session is counted behind it
  let found = await untilScrape(ports.m, (now) =>
    sessions.every((n, channel) => now.value('travertine_channel_sessions_total', { channel }) === n),
  )
  for (const [channel, count] of sessions.entries()) {
    t.equal(found.value('travertine_channel_sessions_total', { channel }), count)
    t.equal(found.value('travertine_channel_entries_total', { channel }), count)
    const flushes = found.value('travertine_channel_flushes_total', { channel })
    t.ok(flushes > 0 && flushes <= count + 2, `${flushes} flushes`)
    for (const stage of STAGES) {
      const observed = found.value('travertine_commit_stage_seconds_count', { channel, stage })
      t.ok(observed > 0 && observed <= flushes + 2, `${stage}: ${observed} of ${flushes}`)
      t.equal(found.value('travertine_commit_stage_seconds_bucket', { channel, stage, le: '+Inf' }), observed)
    }
  }
  const closed = ['drained', 'full', 'others'].flatMap((reason) =>
    [0, 1].map((channel) => found.value('travertine_epochs_closed_total', { channel, reason })),
  )
  const byOwners = closed.slice(0, 4).reduce((a, b) => a + b)
  t.equal(byOwners, found.value('travertine_epoch', { watermark: 'closed' }), 'each epoch was closed by one channel')
  t.equal(found.value('travertine_epoch', { watermark: 'propagated' }), Number(master?.status().propagated))
  t.equal(found.value('travertine_replica_streaming', { replica: `127.0.0.1:${replica?.port}` }), 1)
  // once a second the threads tell what is only known by looking
  await untilScrape(ports.m, (now) => now.value('travertine_connections', { kind: 'client', channel: 0 }) === 1)
  found = await untilScrape(ports.m, (now) => lagOf(now, replica?.port ?? 0) === 0)
  t.equal(found.value('travertine_connections', { kind: 'replica', channel: 1 }), 1)
  const far = await untilScrape(
    ports.r1,
    (now) =>
      now.value('travertine_connections', { kind: 'master', channel: 1 }) === 1 &&
      sessions.every((n, channel) => now.value('travertine_channel_sessions_total', { channel }) === n),
  )
  // each side counts when its own second is over, and a quiet channel writes one MARK more
  await untilAgreed(t, [ports.m, ports.r1], (now, channel) => [
    now.value('travertine_channel_frames_total', { channel }),
    now.value('travertine_channel_written_bytes_total', { channel }),
    now.value('travertine_channel_position_bytes', { channel, position: 'durable' }),
  ])
  const names = new Set([...found.names(), ...far.names()])
  for (const name of Object.keys(METRICS)) t.ok(names.has(name) || names.has(`${name}_bucket`), `${name} was scraped`)
  t.ok(names.has('process_cpu_seconds_total'), 'the process itself, too')

  const scrapes = 40
  const before = process.cpuUsage()
  for (let i = 0; i < scrapes; i++) await (await fetch(`http://127.0.0.1:${ports.m}/metrics`)).text()
  const { user, system } = process.cpuUsage(before)
  const scrapeMs = (user + system) / 1_000 / scrapes
  t.ok(scrapeMs < 20, `a scrape costs ${scrapeMs.toFixed(1)} ms of CPU: below 2 % of a core, also once a second`)
  t.ok(cluster.lines.length < 20, `${cluster.lines.length} lines of log: none for a session`)
})

t.test('a replica that goes away: it lags, PROPAGATED waits, and an error is counted', async (t) => {
  const cluster = await Cluster.start(t, { replicas: 1, admin: true })
  await cluster.untilStreaming()
  const port = cluster.node('m').admin?.port ?? 0
  const replica = cluster.node('r1').port
  const link = await (await cluster.client()).open(0)
  writeMany(link, 'a', 5)
  await link.untilPropagated(5)
  await cluster.stop('r1')
  writeMany(link, 'b', 5)
  await link.untilStored(10)
  const missed = (now: Scrape): boolean => now.value('travertine_errors_total', { code: 'CONNECT_FAILED' }) > 0
  const found = await untilScrape(port, (now) => missed(now) && lagOf(now, replica) > 5 * 72)
  t.equal(found.value('travertine_replica_streaming', { replica: `127.0.0.1:${replica}` }), 0)
  t.match(await get(port, '/readyz'), { code: 200, body: { reason: 'takes sessions, 0 of 1 replicas stream' } })
})

const lagOf = (found: Scrape, port: number): number =>
  found.value('travertine_replica_lag_bytes', { replica: `127.0.0.1:${port}`, channel: 0 })

/** Two nodes show the same numbers for channels 0 and 1. */
async function untilAgreed(
  t: { same(found: unknown, wanted: unknown): boolean },
  ports: readonly [number, number],
  numbers: (found: Scrape, channel: number) => number[],
): Promise<void> {
  const look = async (port: number): Promise<number[][]> => {
    const found = await scrape(port)
    return [0, 1].map((channel) => numbers(found, channel))
  }
  const deadline = Date.now() + 10_000
  for (;;) {
    const [one, other] = [await look(ports[0]), await look(ports[1])]
    if (isDeepStrictEqual(one, other)) return
    if (Date.now() > deadline) return void t.same(one, other)
    await sleep(100)
  }
}

async function untilScrape(port: number, holds: (found: Scrape) => boolean): Promise<Scrape> {
  let found = await scrape(port)
  let asking = false
  await until('a scrape says so', () => {
    if (holds(found)) return true
    if (!asking) {
      asking = true
      void scrape(port).then((next) => {
        found = next
        asking = false
      })
    }
    return false
  })
  return found
}
