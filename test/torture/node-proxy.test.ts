/** The proxy of the torture runs does to connections what it says. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { until } from '../daemon/raw-client.ts'
import { freePorts } from '../tools/travertine.ts'
import { NodeProxy } from './node-proxy.ts'
import { hasSecondLoopback } from './torture-cluster.ts'

const CHANNELS = 1

/** A "node" that remembers what it gets, behind a proxy. */
class Stand {
  readonly proxy: NodeProxy
  readonly accepted: Socket[] = []
  received = ''
  readonly #port: number
  readonly #servers: Server[]

  constructor(port: number) {
    this.#port = port
    this.proxy = new NodeProxy({ host: '127.0.0.2', targetHost: '127.0.0.1', port, channels: CHANNELS })
    this.#servers = [0, 1].map(() =>
      createServer((socket) => {
        this.accepted.push(socket)
        socket.on('error', () => undefined)
        socket.setEncoding('utf8').on('data', (text) => {
          this.received += text
        })
      }),
    )
  }

  async listen(t: Test): Promise<this> {
    for (const [i, server] of this.#servers.entries())
      await once(server.listen(this.#port + i, '127.0.0.1'), 'listening')
    await this.proxy.listen()
    t.teardown(async () => {
      await this.proxy.close()
      for (const socket of this.accepted) socket.destroy()
      for (const server of this.#servers) server.close()
    })
    return this
  }

  /** A dialler on the control port (0) or that of channel 0. */
  async dial(offset = 0): Promise<Dialler> {
    const before = this.accepted.length
    const dialler = new Dialler(connect({ host: '127.0.0.2', port: this.#port + offset, noDelay: true }))
    await until('the node has the connection', () => this.accepted.length > before)
    return dialler
  }

  /** A connection that the proxy cuts off at once. */
  async refused(): Promise<void> {
    const socket = connect({ host: '127.0.0.2', port: this.#port })
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.once('close', resolve))
  }
}

class Dialler {
  readonly socket: Socket
  received = ''
  isClosed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isClosed = true
    })
    socket.setEncoding('utf8').on('data', (text) => {
      this.received += text
    })
  }
}

const skip = (await hasSecondLoopback()) ? {} : { skip: '127.0.0.2 is no address of this machine' }
const stand = async (t: Test): Promise<Stand> => new Stand(await freePorts(1 + CHANNELS)).listen(t)

t.test('bytes and ends pass in both directions', skip, async (t) => {
  const node = await stand(t)
  const dialler = await node.dial()
  dialler.socket.write('hello')
  await until('it is there', () => node.received === 'hello')
  node.accepted[0]!.end('good-bye')
  await until('it is back', () => dialler.received === 'good-bye' && dialler.isClosed)
  await until('the pair is forgotten', () => node.proxy.connectionCount === 0)
  t.equal(node.received, 'hello')
  t.equal(dialler.received, 'good-bye')
})

t.test('cut: all connections of a port, and no other', skip, async (t) => {
  const node = await stand(t)
  const control = await node.dial()
  const log = await node.dial(1)
  node.proxy.cut(0, 'reset')
  await until('the log connection ends', () => log.isClosed)
  t.notOk(control.isClosed)
  node.proxy.cut('all', 'end')
  await until('the control connection ends', () => control.isClosed)
})

t.test('cut within: so many bytes more, and not one behind them', skip, async (t) => {
  const node = await stand(t)
  const dialler = await node.dial(1)
  node.proxy.cutBehind(0, 'to node', 7, 'end')
  dialler.socket.write('12345')
  await until('the first bytes are there', () => node.received === '12345')
  dialler.socket.write('67890')
  await until('it is cut', () => dialler.isClosed)
  await until('the limit was delivered', () => node.received.length >= 7)
  t.equal(node.received, '1234567')
})

t.test('hold: one direction stands still, then goes on', skip, async (t) => {
  const node = await stand(t)
  const dialler = await node.dial()
  const release = node.proxy.hold('all', 'to node')
  const late = await node.dial(1)
  dialler.socket.write('early ')
  late.socket.write('late')
  node.accepted[0]!.write('answer')
  await until('the other direction goes on', () => dialler.received === 'answer')
  t.equal(node.received, '')
  release()
  await until('everything arrives', () => node.received.length === 'early late'.length)
})

t.test('refuse: nobody gets through until it is over', skip, async (t) => {
  const node = await stand(t)
  const dialler = await node.dial()
  const release = node.proxy.refuse()
  await until('who was there is cut off', () => dialler.isClosed)
  await node.refused()
  t.equal(node.accepted.length, 1, 'the node has not heard of the new one')
  release()
  t.notOk((await node.dial()).isClosed)
})
