/** REP-44: a port takes so many connections, and fewer from one address; who is refused is told why, over TCP and TLS. */
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import type { Connection, Network } from '../../protocol/connection.ts'
import { encodeMessage, MessageReader } from '../../protocol/control-message.ts'
import { type TravertineError, toWireError } from '../../protocol/errors.ts'
import { nodeNetwork } from '../../world/node-network.ts'
import { readTlsFiles, TlsNetwork } from '../../world/tls-network.ts'
import { PROJECT } from '../project.ts'
import { until } from './raw-client.ts'

const key = (name: string): string => join(PROJECT, 'test/tls/keys', name)
const tls = readTlsFiles({ certificateFile: key('node.crt'), keyFile: key('node.key'), authorityFile: key('ca.crt') })

/** What a connection hears: a greeting, or why there is none; 'cut': nothing. */
type Dial = (port: number, localAddress: string) => { readonly socket: Socket; readonly heard: Promise<string> }

const WORLDS: readonly (readonly [string, Network, Dial])[] = [
  ['TCP', nodeNetwork, (port, localAddress) => listenTo(connect({ host: '127.0.0.1', port, localAddress }))],
  [
    'TLS',
    new TlsNetwork(tls),
    (port, localAddress) =>
      listenTo(
        connectTls({
          socket: connect({ host: '127.0.0.1', port, localAddress }),
          ca: tls.authority,
          host: '127.0.0.1',
        }),
      ),
  ],
]

function listenTo(socket: Socket): ReturnType<Dial> {
  const reader = new MessageReader()
  socket.on('error', () => undefined)
  const heard = new Promise<string>((resolve) => {
    socket.on('data', (chunk) => {
      const [message] = reader.push(chunk)
      if (message !== undefined) resolve(message.type === 'error' ? message.error.code : message.type)
    })
    socket.on('close', () => resolve('cut'))
  })
  return { socket, heard }
}

for (const [what, network, dial] of WORLDS) {
  t.test(what, async (t) => {
    const accepted: Connection[] = []
    const refusals: TravertineError[] = []
    const listener = await network.listen(
      { host: '127.0.0.1', port: 0, connectionLimit: 3, addressLimit: 2 },
      (connection) => {
        accepted.push(connection)
        connection.handle({ data: () => undefined, closed: () => accepted.splice(accepted.indexOf(connection), 1) })
        connection.write(encodeMessage({ type: 'heartbeat', sequence: 1 }))
      },
      (connection, error) => {
        refusals.push(error)
        connection.end(encodeMessage({ type: 'error', error: toWireError(error) }))
      },
    )
    t.teardown(() => {
      listener.close()
      listener.destroyConnections()
    })
    const first = dial(listener.port, '127.0.0.1')
    const second = dial(listener.port, '127.0.0.1')
    t.same([await first.heard, await second.heard], ['heartbeat', 'heartbeat'])
    t.equal(await dial(listener.port, '127.0.0.1').heard, 'CONNECTION_LIMIT', 'one address has its limit')
    t.match(refusals.pop()?.message, /found 2 of them from 127\.0\.0\.1/)
    t.equal(await dial(listener.port, '127.0.0.2').heard, 'heartbeat', 'another one has room')
    t.equal(await dial(listener.port, '127.0.0.3').heard, 'CONNECTION_LIMIT', 'the port has its limit')
    t.match(refusals.pop()?.message, /found 3 of them on this port/)

    first.socket.destroy()
    await until('the node has seen the first one go', () => accepted.length === 2)
    const again = dial(listener.port, '127.0.0.1')
    t.equal(await again.heard, 'heartbeat', 'who leaves makes room')
    t.equal(await dial(listener.port, '127.0.0.1').heard, 'CONNECTION_LIMIT', 'and for one only')
  })
}
