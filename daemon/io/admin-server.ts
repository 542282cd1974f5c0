/**
 * The admin HTTP server: reads only, on a port of its own, loopback unless somebody says otherwise.
 *
 *   GET /healthz       200 if the node is alive, 503 with the threads that are stuck
 *   GET /readyz        200 if it is working, 503 with what it waits for
 *   GET /status.json   everything that `status` knows
 *   GET /metrics       for Prometheus
 *
 * Whoever reaches the port can read all of it, and can do nothing with it. It may speak TLS, and then ask for certificates; it
 * asks for no secret.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Listener } from '../../protocol/connection.ts'
import { asError, type TravertineError } from '../../protocol/errors.ts'
import {
  ADMIN_ADDRESS_CONNECTION_COUNT_LIMIT,
  ADMIN_CONNECTION_COUNT_LIMIT,
  ADMIN_REQUEST_MS_MAX,
} from '../../protocol/limits.ts'
import { ConnectionQuota, peerOf } from '../../world/connection-quota.ts'
import { listenOn, NodeConnection } from '../../world/node-network.ts'
import { renewServer, serverOptions, type TlsMaterial } from '../../world/tls-network.ts'
import { Scraper } from '../metrics/scrape.ts'
import type { NodeProbe } from '../node-probe.ts'

interface Answer {
  readonly code: number
  readonly type: string
  readonly body: string
}

export class AdminServer {
  readonly #probe: NodeProbe
  readonly #scraper = new Scraper()
  readonly #server: Server
  readonly #tlsServer: TlsServer | undefined
  readonly #quota = new ConnectionQuota({
    connectionLimit: ADMIN_CONNECTION_COUNT_LIMIT,
    addressLimit: ADMIN_ADDRESS_CONNECTION_COUNT_LIMIT,
  })
  #listener: Listener | undefined

  /** @param tls without it plain HTTP is spoken */
  constructor(probe: NodeProbe, tls?: TlsMaterial) {
    this.#probe = probe
    const respond: RequestListener = (request, response) => void this.#respond(request, response)
    if (tls !== undefined) this.#tlsServer = createTlsServer({ ...HTTP_LIMITS, ...serverOptions(tls) }, respond)
    this.#server = this.#tlsServer ?? createServer(HTTP_LIMITS, respond)
    this.#tlsServer?.on('tlsClientError', (_, socket) => socket.destroy())
    this.#server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      const refusal = this.#quota.refusalOf(socket)
      if (refusal !== undefined) refuse(socket, refusal)
    })
  }

  /** Resolves with the port. @throws PORT_IN_USE, CONFIG_INVALID */
  async listen(host: string, port: number): Promise<number> {
    this.#listener = await listenOn(this.#server, { host, port }, this.#quota)
    return this.#listener.port
  }

  renewTls(tls: TlsMaterial): void {
    if (this.#tlsServer !== undefined) renewServer(this.#tlsServer, tls)
  }

  close(): void {
    this.#listener?.close()
    this.#listener?.destroyConnections()
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#quota.refusalOf(request.socket) !== undefined) return // it was answered before it asked
    const answer = await this.#answer(request).catch((thrown: unknown): Answer => text(500, asError(thrown).message))
    response.writeHead(answer.code, { 'content-type': answer.type, 'cache-control': 'no-store' })
    response.end(request.method === 'HEAD' ? undefined : answer.body)
  }

  async #answer({ method, url }: IncomingMessage): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET: nothing can be changed here')
    const path = (url ?? '').split('?')[0]
    switch (path) {
      case '/healthz': {
        const health = this.#probe.health()
        return json(health.alive ? 200 : 503, health)
      }
      case '/readyz': {
        const readiness = this.#probe.readiness()
        return json(readiness.ready ? 200 : 503, readiness)
      }
      case '/status.json':
        return json(200, this.#probe.describe())
      case '/metrics':
        return { code: 200, type: this.#scraper.contentType, body: await this.#scraper.text(this.#probe.view()) }
      default:
        return text(404, 'there is /healthz, /readyz, /status.json and /metrics')
    }
  }
}

/** A request that does not come, or comes byte by byte, keeps a connection for so long. */
const HTTP_LIMITS = {
  requestTimeout: ADMIN_REQUEST_MS_MAX,
  headersTimeout: ADMIN_REQUEST_MS_MAX,
  connectionsCheckingInterval: ADMIN_REQUEST_MS_MAX / 10,
}

/** Nobody has asked yet; this answers whatever comes. */
function refuse(socket: Socket, error: TravertineError): void {
  const body = `${error.describe()}\n`
  const head = ['HTTP/1.1 503 Service Unavailable', 'content-type: text/plain; charset=utf-8', 'connection: close']
  const text = `${[...head, `content-length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`
  new NodeConnection(socket, peerOf(socket)).end(Buffer.from(text))
}

const text = (code: number, body: string): Answer => ({ code, type: 'text/plain; charset=utf-8', body: `${body}\n` })

const json = (code: number, value: object): Answer => ({
  code,
  type: 'application/json',
  body: `${JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? Number(v) : v))}\n`,
})
