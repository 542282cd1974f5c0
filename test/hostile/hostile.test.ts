/**
 * Hostile bytes on every port of a running pair: client control, client log, replica control, replica log, admin HTTP. The
 * nodes stay up, their memory is bounded, their logs are not filled, and a client that writes all along notices nothing.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { encodeMessage } from '../../protocol/control-message.ts'
import { ADDRESS_CONNECTION_COUNT_LIMIT, HANDSHAKE_MS_MAX, MIB } from '../../protocol/limits.ts'
import { HELLO, until } from '../daemon/raw-client.ts'
import { HealthyWriter, HostilePair, residentBytes } from './hostile-pair.ts'
import { churn, FOUR_GIB, garbage, lengthOnly, Stranger, sendSlowly } from './stranger.ts'

const IDLE = 5_000
/** What 4,096 connections cost, and as much again. */
const GROWTH_BYTES_MAX = 200 * MIB
const LOG_CHARS_MAX = 20_000

t.test('hostile bytes', async (t) => {
  const pair = await HostilePair.start(t)
  const { master, replica } = pair
  const ports = {
    control: master.port,
    log: master.logPorts[0]!,
    replicaControl: replica.port,
    replicaLog: replica.logPorts[0]!,
  }
  const all = Object.entries(ports)
  const recorded = await pair.recordClient()
  const client = await pair.connect()
  const writer = new HealthyWriter(client)
  await until('a hundred sessions are PROPAGATED', () => writer.written >= 100)
  const memory = watchMemory(t, [master.command.pid, replica.command.pid])

  /** The healthy client goes on while this goes on. */
  const during = async (what: string, attack: () => Promise<unknown>): Promise<void> => {
    const before = writer.written
    await attack()
    const meanwhile = writer.written - before
    await until('it goes on', () => writer.written > before + meanwhile || writer.error !== undefined)
    t.equal(writer.error, undefined, `${what}: no write fails, ${meanwhile} sessions were written meanwhile`)
  }

  await during('strangers on the ports of the protocol', async () => {
    const hello = encodeMessage(HELLO)
    await Promise.all([
      ...all.flatMap(([name, port], i) => [
        ...garbage(i + 1).map(async (bytes) => {
          const heard = await new Stranger({ port }).say(bytes).end()
          t.ok(heard.length <= 1, `${name}: ${heard[0] ?? 'cut'}`)
        }),
        ...FOUR_GIB.map(async (bytes) => {
          t.same(await new Stranger({ port }).say(bytes).end(), ['MESSAGE_TOO_LARGE'], `${name}: 4 GiB`)
        }),
        ...[0, 1, 4, 5, hello.length - 1].map(async (length) => {
          const heard = await new Stranger({ port }).say(hello.subarray(0, length)).end()
          t.same(heard, ['HANDSHAKE_TIMEOUT'], `${name}: a half handshake`)
        }),
        sendSlowly(new Stranger({ port }), Buffer.concat([lengthOnly(900_000), Buffer.alloc(10_000)])).then((heard) =>
          t.same(heard, ['HANDSHAKE_TIMEOUT'], `${name}: a slow sender`),
        ),
        churn({ port }, 200),
      ]),
      strangersOfAdmin(adminOf(master.command.stdout)),
    ])
  })

  await during('replays of recorded handshakes', async () => {
    const replayed = async (port: number, bytes: Buffer): Promise<string> =>
      (await new Stranger({ port }).say(bytes).end()).join()
    t.equal(await replayed(ports.control, recorded.control), 'auth_challenge,AUTHENTICATION_FAILED')
    t.equal(await replayed(ports.log, recorded.log), 'SECRET_INVALID')
    const { control } = pair.masterRecording()
    t.equal(await replayed(ports.replicaControl, control), 'auth_challenge,AUTHENTICATION_FAILED', 'of the master')
    t.equal(await replayed(ports.replicaLog, recorded.log), 'SECRET_INVALID')
    t.equal(await replayed(ports.control, encodeMessage(HELLO)), 'AUTHENTICATION_FAILED', 'and without a proof')
  })

  await during('somebody who asks and does not read', async () => {
    const reader = await pair.reader()
    reader.socket.pause()
    const question = Buffer.concat(Array.from({ length: 1_000 }, () => encodeMessage({ type: 'status' })))
    const ask = setInterval(() => reader.socket.write(question), 5)
    await until('it is cut', () => reader.closed)
    clearInterval(ask)
  })

  await during('idle connections', async () => {
    const count = Math.min(IDLE, openFilesLimit() - 1_000)
    if (count < IDLE)
      t.comment(`${count} idle connections instead of ${IDLE}: a process may open ${openFilesLimit()} files here`)
    const crowd: Stranger[] = []
    while (crowd.length < count) {
      // no more at once than the system keeps for a node to accept: what it forgets hangs for a minute
      const batch = Array.from({ length: 250 }, () => {
        const localAddress = `127.0.1.${1 + Math.floor(crowd.length / 1_250)}`
        return new Stranger({ port: ports.control, localAddress })
      })
      await Promise.all(batch.map((stranger) => stranger.opened))
      crowd.push(...batch)
    }
    const ends = await Promise.all(crowd.map((stranger) => stranger.end()))
    const told = (code: string): number => ends.filter((heard) => heard.join() === code).length
    const [held, refused, cut] = [told('HANDSHAKE_TIMEOUT'), told('CONNECTION_LIMIT'), told('')]
    t.comment(`${held} were cut after ${HANDSHAKE_MS_MAX} ms, ${refused} refused, ${cut} cut at once`)
    t.equal(held + refused + cut, crowd.length, 'each of them hears why, or is cut')
    t.ok(held >= Math.min(count, ADDRESS_CONNECTION_COUNT_LIMIT), 'one address gets so many')
    t.ok(count < IDLE || refused > 0, 'and no more')
  })

  await writer.stop()
  const late = await pair.connect()
  const entry = { op: 'put', storage: 1, key: 'late', value: Buffer.from('value') } as const
  t.ok(await late.write([entry], { level: 'propagated' }), 'a new client is served at the end')
  await Promise.all([client.close(), late.close()])
  for (const growth of memory())
    t.ok(growth < GROWTH_BYTES_MAX, `memory has grown by ${Math.round(growth / MIB)} MiB at most`)
  for (const { command } of [master, replica]) {
    t.equal(await healthOf(command.stdout), 200)
    t.ok(command.stderr.length < LOG_CHARS_MAX, `${command.stderr.length} characters of log`)
    t.notMatch(command.stderr, /error|Defect/)
    command.kill('SIGTERM')
    t.equal((await command.ended).code, 0)
  }
})

function watchMemory(t: { teardown(handler: () => void): unknown }, pids: readonly number[]): () => readonly number[] {
  const first = pids.map(residentBytes)
  const most = [...first]
  const timer = setInterval(() => {
    for (const [i, pid] of pids.entries()) most[i] = Math.max(most[i] ?? 0, residentBytes(pid))
  }, 100)
  const stop = (): void => clearInterval(timer)
  t.teardown(stop)
  return () => {
    stop()
    return most.map((bytes, i) => bytes - (first[i] ?? 0))
  }
}

/** Idle ones as well, which leave room for others. */
async function strangersOfAdmin({ port }: { readonly port: number }): Promise<void> {
  const from = (last: number) => ({ port, localAddress: `127.0.0.${last}` })
  const idle = Array.from({ length: 100 }, () => new Stranger(from(10)))
  await Promise.all([
    ...garbage(9).map((bytes) => new Stranger(from(9)).say(bytes).end()),
    new Stranger(from(9)).say(`GET /${'x'.repeat(1_000_000)} HTTP/1.1\r\n`).end(),
    churn(from(8), 200),
  ])
  for (const { socket } of idle) socket.destroy()
}

const adminOf = (readyLine: string): { readonly port: number } =>
  (JSON.parse(readyLine) as { admin: { port: number } }).admin // of our own command

async function healthOf(readyLine: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${adminOf(readyLine).port}/healthz`, {
    headers: { connection: 'close' },
  })
  await response.text()
  return response.status
}

function openFilesLimit(): number {
  const match = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  return Number(match?.[1])
}
