import NIOCore
public import NativeClient
import Synchronization

extension KeyDirectory {
    /// One that the diagnosing client asks.
    ///
    /// - Parameters:
    ///   - url: such as `https://keys.example.net/v1/`.
    ///   - connect: where to connect instead of the address's own host and port, as `HOST:PORT`.
    ///   - roots: whom its certificate must lead to.
    public init(url: String, connect: String? = nil, roots: ClientRoots = .system) {
        self.init(url: url) { address in
            var options = DiagnosingClient.Options(target: try ClientTarget(url: address, connect: connect))
            options.roots = roots
            options.timeout = .seconds(5)
            let body = Mutex([UInt8]())
            let status: UInt = try await DiagnosingClient(options: options).run { event in
                guard case .responseBody(let bytes) = event.event else { return }
                body.withLock { $0 += bytes.readableBytesView.prefix(Self.maximumAnswer - $0.count) }
            }
            return (Int(status), body.withLock { $0 })
        }
    }
}
