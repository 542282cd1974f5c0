/** A master and a replica with a shared secret, as processes of their own, and a client that does nothing but write. */
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, connect as dial } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, connect } from '../../client/client.ts'
import { AuthInitiator } from '../../protocol/authentication.ts'
import { encodeMessage, type Message } from '../../protocol/control-message.ts'
import { SECRET_BYTES } from '../../protocol/message-field.ts'
import { HELLO, RawConnection } from '../daemon/raw-client.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { newMaster, newReplica, type ReadyNode, runNode } from '../tools/node-pair.ts'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

const SECRET = 'all-0123456789abcdef0123456789abcdef'
const CLUSTER = '00000000-0000-4000-8000-000000000001'

/** What somebody who listens to the network has written down of one handshake. */
export interface Recording {
  readonly control: Buffer
  /** Without it the log connection was not heard. */
  readonly log?: Buffer
}

export class HostilePair {
  readonly master: ReadyNode
  readonly replica: ReadyNode
  /** What the master has said to the replica, from its first byte on. */
  readonly masterRecording: () => Recording

  private constructor(master: ReadyNode, replica: ReadyNode, masterRecording: () => Recording) {
    this.master = master
    this.replica = replica
    this.masterRecording = masterRecording
  }

  static async start(t: Teardown): Promise<HostilePair> {
    const directory = temporaryDirectory(t)
    writeFileSync(join(directory, 'secret'), `all ${SECRET}\n`, { mode: 0o600 })
    const env = { TRAVERTINE_SECURITY_SECRET_FILE: join(directory, 'secret') }
    newReplica(join(directory, 'b'), CLUSTER)
    const replica = await runNode(t, join(directory, 'b'), ['--admin-port', '0'], env)
    const tap = await tapInFrontOf(t, replica.port)
    newMaster(join(directory, 'a'), [`127.0.0.1:${tap.port}`], CLUSTER)
    const master = await runNode(t, join(directory, 'a'), ['--admin-port', '0'], env)
    return new HostilePair(master, replica, () => ({ control: Buffer.concat(tap.heard) }))
  }

  connect(): Promise<Client> {
    return connect({ address: `127.0.0.1:${this.master.port}`, security: { secret: SECRET } })
  }

  /** A writer's session that has ended, and every byte that it has said. */
  async recordClient(): Promise<Required<Recording>> {
    const connection = new RawConnection(this.master.port)
    const said: Buffer[] = []
    const say = (message: Message): void => {
      said.push(encodeMessage(message))
      connection.send(message)
    }
    const nonce = randomBytes(SECRET_BYTES)
    const initiator = new AuthInitiator({ secret: SECRET, roles: ['writer'] }, 'writer', nonce)
    say(initiator.begin())
    say(initiator.prove(await answer(connection, 'auth_challenge')))
    say(HELLO)
    const { session, secret, logPorts } = await answer(connection, 'client_hello_ok')
    const producer = { producer: 4711n, sent: 0, answered: 0, since: 0n, level: 'stored' } as const
    const open = { type: 'log_open', version: 1, session, secret, channel: 0, ...producer } as const
    const log = new RawConnection(logPorts[0]!) // there is one
    log.send(open)
    await answer(log, 'log_open_ok')
    connection.socket.destroy()
    while (!log.closed) await log.next()
    return { control: Buffer.concat(said), log: encodeMessage(open) }
  }

  /** A reader's session that lives; whoever has it may say more. */
  async reader(): Promise<RawConnection> {
    const connection = new RawConnection(this.master.port)
    const nonce = randomBytes(SECRET_BYTES)
    const initiator = new AuthInitiator({ secret: SECRET, roles: ['reader'] }, 'reader', nonce)
    connection.send(initiator.begin())
    connection.send(initiator.prove(await answer(connection, 'auth_challenge')))
    return connection
  }
}

async function answer<T extends Message['type']>(connection: RawConnection, type: T): Promise<Message<T>> {
  const message = await connection.next()
  if (message?.type !== type) throw new Error(`found ${JSON.stringify(message)}, expected ${type}`)
  return message as Message<T> // compared on the line above
}

/** Writes down what goes to `port`, and lets everything pass. */
async function tapInFrontOf(t: Teardown, port: number): Promise<{ port: number; heard: Buffer[] }> {
  const heard: Buffer[] = []
  const server = createServer((from) => {
    const to = dial({ host: '127.0.0.1', port })
    from.on('data', (chunk: Buffer) => heard.push(chunk))
    from.pipe(to).pipe(from)
    for (const socket of [from, to]) {
      socket.on('error', () => undefined)
      socket.on('close', () => [from, to].map((one) => one.destroy()))
      t.teardown(() => socket.destroy())
    }
  })
  t.teardown(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return { port: address.port, heard }
}

/** Bytes of memory that a process has now. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1]) * 1024
}

/** A writer is there to notice, not to load the machine. */
const PAUSE_MS = 5

/** One session after the other, each awaited as PROPAGATED. */
export class HealthyWriter {
  written = 0
  error: unknown
  #stopped = false
  readonly #done: Promise<void>

  constructor(client: Client) {
    this.#done = this.#run(client).catch((thrown: unknown) => {
      this.error = thrown
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  async #run(client: Client): Promise<void> {
    const value = Buffer.alloc(100, 7)
    while (!this.#stopped) {
      const key = `key-${this.written}`
      await client.write([{ op: 'put', storage: 1, key, value }], { level: 'propagated', deadlineMs: 15_000 })
      this.written++
      await sleep(PAUSE_MS)
    }
  }
}
