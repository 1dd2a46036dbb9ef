import HTTPWire
import NIOCore
import NIOPosix
import NIOSSL
import Telemetry

/// Why the origin gave no (complete) response.
struct OriginFailure: Error, Sendable {
    /// Constant text for the log line and the metric's label.
    enum Cause: String, Sendable, CaseIterable {
        case resolve
        case refused = "connect-refused"
        case unreachable = "connect-failed"
        case connectTimeout = "connect-timeout"
        case tls
        case reset
        case closed
        case badResponse = "bad-response"
        case responseTimeout = "response-timeout"
        /// Less than the lowest rate.
        case tooSlow = "too-slow"
        /// The edge's own limit of connections to the origin.
        case overloaded
    }

    var cause: Cause
    /// What the layer below said; for the log line only.
    var detail: String

    /// 504 where the origin's time ran out, 503 where too much is asked of it, 502 for everything else (RFC 9110 §15.6.3 to
    /// §15.6.5).
    var status: Int {
        switch self.cause {
        case .connectTimeout, .responseTimeout, .tooSlow: 504
        case .overloaded: 503
        default: 502
        }
    }

    /// One sentence for the response's body; says nothing about the network behind the edge.
    var explanation: String {
        switch self.cause {
        case .resolve, .refused, .unreachable, .tls: "The site's origin can't be reached."
        case .connectTimeout: "The site's origin can't be reached in time."
        case .reset, .closed: "The site's origin closed the connection without an answer."
        case .badResponse: "The site's origin gave an answer that can't be passed on."
        case .overloaded: "The site is busy. Try again in a moment."
        case .responseTimeout, .tooSlow: "The site's origin did not answer in time."
        }
    }

    init(_ cause: Cause, _ detail: String = "") {
        self.cause = cause
        self.detail = detail
    }

    /// The response is refused.
    init(_ error: WireError) {
        self.init(error.fault == .incomplete ? .closed : .badResponse, error.fault.rawValue)
    }

    /// An error from before the connection was ready.
    init(connecting error: any Error) {
        switch error {
        case let failure as OriginFailure:
            self = failure
        case ChannelError.connectTimeout:
            self.init(.connectTimeout)
        case let error as NIOConnectionError:
            if let attempt = error.connectionErrors.first {
                self.init(connecting: attempt.error)
            } else {
                self.init(.resolve, SystemError.text(error))
            }
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            self.init(.refused)
        case let error as IOError where error.errnoCode == ETIMEDOUT:
            self.init(.connectTimeout)
        case let error as SocketAddressError:
            self.init(.resolve, "\(error)")
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError:
            self.init(.tls, "\(error)")
        default:
            self.init(.unreachable, SystemError.text(error))
        }
    }

    /// An error on a connection that was ready.
    init(exchanging error: any Error) {
        switch error {
        case let failure as OriginFailure:
            self = failure
        case NIOSSLError.uncleanShutdown:
            self.init(.closed, "end of stream without close_notify")
        case is NIOSSLError, is BoringSSLError:
            self.init(.tls, "\(error)")
        default:
            self.init(.reset, SystemError.text(error))
        }
    }
}
