/**
 * The admin HTTP server: reads only, on a port of its own, loopback unless somebody says otherwise.
 *
 *   GET /healthz       200 if the node is alive, 503 with the threads that are stuck
 *   GET /readyz        200 if it is working, 503 with what it waits for
 *   GET /status.json   everything that `status` knows
 *   GET /metrics       for Prometheus
 *
 * It has no authentication; whoever reaches the port can read all of it, and can do nothing with it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Listener } from '../../protocol/connection.ts'
import { asError } from '../../protocol/errors.ts'
import { ADMIN_CONNECTION_COUNT_LIMIT, ADMIN_REQUEST_MS_MAX } from '../../protocol/limits.ts'
import { listenOn } from '../../world/node-network.ts'
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
  #listener: Listener | undefined

  constructor(probe: NodeProbe) {
    this.#probe = probe
    const options = { requestTimeout: ADMIN_REQUEST_MS_MAX, headersTimeout: ADMIN_REQUEST_MS_MAX }
    this.#server = createServer(options, (request, response) => void this.#respond(request, response))
    this.#server.maxConnections = ADMIN_CONNECTION_COUNT_LIMIT
  }

  /** Resolves with the port. @throws PORT_IN_USE, CONFIG_INVALID */
  async listen(host: string, port: number): Promise<number> {
    this.#listener = await listenOn(this.#server, host, port)
    return this.#listener.port
  }

  close(): void {
    this.#listener?.close()
    this.#listener?.destroyConnections()
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
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

const text = (code: number, body: string): Answer => ({ code, type: 'text/plain; charset=utf-8', body: `${body}\n` })

const json = (code: number, value: object): Answer => ({
  code,
  type: 'application/json',
  body: `${JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? Number(v) : v))}\n`,
})
