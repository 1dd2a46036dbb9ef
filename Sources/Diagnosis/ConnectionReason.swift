import Foundation
import NIOCore
import NIOPosix

/// Why a connection failed, as the system said it, without the library's wrapping.
public enum ConnectionReason {
    public static func text(_ error: any Error) -> String {
        guard let error = error as? NIOConnectionError else { return "\(error)" }
        if error.dnsAError != nil, error.connectionErrors.isEmpty { return "the name cannot be resolved" }
        guard let last = error.connectionErrors.last?.error else { return "\(error)" }
        if case ChannelError.connectTimeout? = last as? ChannelError { return "no answer in time" }
        guard let code = (last as? IOError)?.errnoCode else { return "\(last)" }
        return String(cString: strerror(code))
    }
}
