/**
 * Can a node listen on its ports? Found out before its log is opened: that begins a mastership, which stays in the history
 * of a node that gets no further, and a service manager that tries again would add one each time.
 *
 * The ports are let go again, since channel threads listen on their own ones later. Who takes one in between still costs a term.
 */
import type { Connection, Network } from '../../protocol/connection.ts'

/** @param count how many, from `port` on; of port 0, which is any, one is tried. @throws PORT_IN_USE, CONFIG_INVALID */
export async function probePorts(network: Network, host: string, port: number, count: number): Promise<void> {
  const turnAway = (connection: Connection): void => connection.destroy()
  for (let i = 0; i < (port === 0 ? 1 : count); i++) {
    const place = { host, port: port === 0 ? 0 : port + i, connectionLimit: 1, addressLimit: 1 }
    const listener = await network.listen(place, turnAway, turnAway)
    listener.close()
  }
}
