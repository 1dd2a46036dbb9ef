/// What a key holder lends an edge of one TLS session, after it has shaken hands itself: enough to protect and open this
/// session's records, and nothing from which another session or an earlier secret could be found.
///
/// There is no field for the private key, the master secret, the handshake secrets, or the resumption and exporter
/// secrets: what must not leave the key holder cannot be put in here.
public struct ExportedSession: Sendable, Equatable {
    /// Implies the version.
    public let suite: RecordSuite
    /// The application protocol that was negotiated (ALPN), as it goes over the wire.
    public let applicationProtocol: [UInt8]?
    public let secrets: Secrets
    /// Sequence number of the next record from the client, and of the next one to it.
    ///
    /// In TLS 1.3 they count the application epochs, and while ``Secrets/tls13(client:server:finished:)`` carries a
    /// Finished that is still to come, the client's must be 0.
    public let clientSequence: UInt64
    public let serverSequence: UInt64

    public enum Secrets: Sendable, Equatable {
        /// The application traffic secrets, and what it takes to check the client's Finished; nil if it was checked.
        case tls13(client: Secret, server: Secret, finished: ClientFinished?)
        /// The write keys and IVs of both sides.
        case tls12(client: TrafficKeys, server: TrafficKeys)
    }

    /// What it takes to open the record with the client's Finished, and to check it.
    public struct ClientFinished: Sendable, Equatable {
        /// The client's key and IV of the handshake epoch, not the secret that they came from.
        public let keys: TrafficKeys
        /// The verify_data that the client's Finished must carry: as long as the suite's hash.
        public let verifyData: Secret

        public init(keys: TrafficKeys, verifyData: Secret) {
            self.keys = keys
            self.verifyData = verifyData
        }
    }

    /// - Throws: if a length or the kind of secrets does not suit the suite.
    public init(
        suite: RecordSuite, applicationProtocol: [UInt8]?, secrets: Secrets, clientSequence: UInt64 = 0,
        serverSequence: UInt64 = 0
    ) throws(ExportedSessionError) {
        func check(_ keys: TrafficKeys) throws(ExportedSessionError) {
            guard keys.key.count == suite.cipher.keyLength else { throw .keyLength }
            guard keys.iv.count == suite.ivLength else { throw .ivLength }
        }
        switch secrets {
        case .tls13(let client, let server, let finished):
            guard suite.version == .tls13 else { throw .wrongVersion }
            guard client.count == suite.hash.length, server.count == suite.hash.length else { throw .secretLength }
            if let finished {
                try check(finished.keys)
                guard finished.verifyData.count == suite.hash.length else { throw .verifyDataLength }
                guard clientSequence == 0 else { throw .sequenceBeforeFinished }
            }
        case .tls12(let client, let server):
            guard suite.version == .tls12 else { throw .wrongVersion }
            try check(client)
            try check(server)
        }
        if let applicationProtocol {
            guard (1...255).contains(applicationProtocol.count) else { throw .applicationProtocolLength }
        }
        self.suite = suite
        self.applicationProtocol = applicationProtocol
        self.secrets = secrets
        self.clientSequence = clientSequence
        self.serverSequence = serverSequence
    }
}

/// Why an exported session cannot be one. Each is a fault of the key holder, or of the code that carries sessions.
public enum ExportedSessionError: Error, Equatable, Sendable {
    /// The secrets of one version with a suite of the other.
    case wrongVersion
    /// A traffic secret must be as long as the suite's hash.
    case secretLength
    case keyLength
    case ivLength
    case verifyDataLength
    /// The client cannot have sent application records before its Finished.
    case sequenceBeforeFinished
    /// An ALPN protocol name has 1 to 255 bytes.
    case applicationProtocolLength
    /// A client or server random has 32 bytes.
    /// An encoding that ends before it is whole.
    case truncated
    /// An encoding with this many bytes after its end.
    case trailingBytes(Int)
    /// An encoding of another format: key holder and edge are of different releases.
    case unknownFormat(UInt8)
    /// An encoding with a suite that this module does not know.
    case unknownSuite(UInt16)
    /// An encoding that says neither that a Finished is to come nor that none is.
    case finishedFlag(UInt8)
}
