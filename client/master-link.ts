/**
 * A client's connection to the master, whoever that is: found anew as often as it is lost.
 *
 *   open -> looking -> open -> looking ...        ended: closed by us, or there is nothing to look for
 *
 * It looks at the address of the last master and at those that were given to `connect`, and follows a replica that names
 * another one. A master of an older mastership than one it has seen is not believed: it does not know yet that it was
 * replaced. Without `reconnect` the first loss is the end.
 */
import type { Timer } from '../protocol/clock.ts'
import { TravertineError } from '../protocol/errors.ts'
import { ControlConnection } from './control-connection.ts'
import { type FoundMaster, findMaster } from './find-master.ts'
import type { CheckedConnectOptions } from './options.ts'
import { Backoff, endsClient } from './reconnect-policy.ts'

export interface MasterLinkHandler {
  masterFound(master: FoundMaster): void
  /**
   * It looks for another one from now on.
   *
   * @param isSilent the node said nothing for too long; otherwise it has ended the connection, or said good-bye
   */
  masterLost(error: TravertineError, isSilent: boolean): void
  /** There is none, and there will be no other one. Called once, unless we have closed. */
  linkEnded(error: TravertineError, isSilent: boolean): void
}

export class MasterLink {
  readonly #options: CheckedConnectOptions
  readonly #handler: MasterLinkHandler
  readonly #backoff: Backoff
  readonly #abort = new AbortController()
  #last: FoundMaster
  #control: ControlConnection
  #isOpen = true
  #openedAt: number
  #waiting: Timer | undefined

  constructor(first: FoundMaster, options: CheckedConnectOptions, handler: MasterLinkHandler) {
    this.#options = options
    this.#handler = handler
    this.#backoff = new Backoff(options.world)
    this.#last = first
    this.#openedAt = options.world.clock.now()
    this.#control = this.#connect(first)
  }

  /** Undefined while it looks for one, and after the end. */
  get master(): FoundMaster | undefined {
    return this.#isOpen ? this.#last : undefined
  }

  /** What the last master has said of itself. */
  get last(): FoundMaster {
    return this.#last
  }

  /** Resolves when the last connection is closed; ask after `close`. */
  get closed(): Promise<void> {
    return this.#control.closed
  }

  close(): void {
    this.#isOpen = false
    this.#waiting?.cancel()
    this.#abort.abort()
    this.#control.close()
  }

  #connect(master: FoundMaster): ControlConnection {
    const { clock } = this.#options.world
    return new ControlConnection(clock, master.opened, (error, isSilent) => this.#lost(error, isSilent))
  }

  #lost(error: TravertineError, isSilent: boolean): void {
    this.#isOpen = false
    this.#backoff.lasted(this.#options.world.clock.now() - this.#openedAt)
    if (!this.#options.reconnect) return this.#handler.linkEnded(error, isSilent)
    this.#handler.masterLost(error, isSilent)
    this.#look()
  }

  #look(): void {
    const { world, addresses, credential } = this.#options
    const { address, hello } = this.#last
    findMaster({
      world,
      credential,
      addresses: [address, ...addresses],
      clusterId: hello.clusterId,
      seen: hello,
      // each attempt has a limit of its own
      deadlineMs: 0,
      deadline: Number.POSITIVE_INFINITY,
      signal: this.#abort.signal,
    }).then(
      (master) => this.#found(master),
      (error: unknown) => {
        if (!(error instanceof TravertineError)) throw error
        this.#notFound(error)
      },
    )
  }

  #found(master: FoundMaster): void {
    if (this.#abort.signal.aborted) {
      master.opened.connection.destroy()
      return
    }
    this.#last = master
    this.#isOpen = true
    this.#openedAt = this.#options.world.clock.now()
    this.#control = this.#connect(master)
    this.#handler.masterFound(master)
  }

  #notFound(error: TravertineError): void {
    if (this.#abort.signal.aborted) return
    if (endsClient(error)) this.#handler.linkEnded(error, true)
    else this.#waiting = this.#options.world.clock.after(this.#backoff.next(), () => this.#look())
  }
}
