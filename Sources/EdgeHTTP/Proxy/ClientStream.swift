import Admission
import HTTPFields
import HTTPForwarding
import NIOCore

/// The client's side of one exchange: a turn on an HTTP/1.1 connection, or a stream of HTTP/2. All calls come on the
/// client's event loop.
///
/// Whatever a stream is asked after its end (an answer, an abort, the client's going away) is dropped.
protocol ClientStream: AnyObject {
    /// Whether the client takes more of the response now. Parts sent all the same are kept until it does.
    var isWritable: Bool { get }
    /// How many bytes of the response it takes now; 0 if it is not writable.
    var room: Int { get }
    /// The client's network; nil if it has no bounds.
    var network: ClientNetwork? { get }
    /// Whether the connection takes no further request after this one.
    var isLastRequest: Bool { get }
    /// Bytes per second that the client has to keep up on this stream; 0: any.
    var minimumRate: Int { get }

    /// An informational response's head, or the final one.
    func send(_ head: OutgoingHead)
    /// A part of the final response's content.
    func send(_ bytes: ByteBuffer)
    func flush()

    /// The origin did something: it takes more, or gave more.
    func exchangeMoved()
    /// The response is complete but for its end, which the stream writes.
    ///
    /// - Parameters:
    ///   - trailers: have been through ``TrailerFields``; only with a chunked response.
    ///   - persists: whether the connection may go on; of no account to HTTP/2.
    func exchangeEnded(_ exchange: ProxyExchange, trailers: FieldSection?, persists: Bool)
    /// Answers in the origin's place; nothing was sent before but informational responses.
    func answer(_ local: LocalResponse, instead exchange: ProxyExchange)
    /// Ends in such a way that what was sent can't be taken for a whole response.
    func abort(_ exchange: ProxyExchange, outcome: String)
    /// The 101 is sent: connects the client's connection to the origin's. Only where the request upgrades, which HTTP/2 has no
    /// way to say.
    func becomeTunnel(_ exchange: ProxyExchange, to origin: DetachedOrigin)
    func logOriginFailure(_ failure: OriginFailure, afterHead: Bool)
}
