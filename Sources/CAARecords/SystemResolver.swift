import CSystemShims

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why a question to the resolver got no answer.
public struct ResolverFailure: Error, Equatable, Sendable {
    public var reason: String

    public init(reason: String) {
        self.reason = reason
    }
}

/// The system's resolver, asked by `res_nquery`, which has random ids and source ports, and asks again over TCP where an
/// answer does not fit in a datagram.
public struct SystemResolver: Sendable {
    /// An IPv4 address and port; nil: the servers of `/etc/resolv.conf`.
    private let server: (address: UInt32, port: UInt16)?
    /// For each try.
    private let seconds: Int32
    private let attempts: Int32

    public init(seconds: Int32 = 2, attempts: Int32 = 2) {
        self.server = nil
        self.seconds = seconds
        self.attempts = attempts
    }

    /// - Parameter server: the IPv4 address of another server, as `127.0.0.1`. nil if it is not one.
    public init?(server: String, port: UInt16, seconds: Int32 = 2, attempts: Int32 = 2) {
        var address = in_addr()
        guard inet_pton(AF_INET, server, &address) == 1 else { return nil }
        self.server = (address.s_addr, port)
        self.seconds = seconds
        self.attempts = attempts
    }

    /// Asks for a name's CAA records, and waits for the answer: at most some `seconds` × `attempts` for each server.
    ///
    /// - Returns: the DNS message; nil where the name, or such records of it, do not exist.
    public func caa(_ name: String) throws(ResolverFailure) -> [UInt8]? {
        // The longest message over TCP.
        var answer = [UInt8](repeating: 0, count: 65_535)
        var failure: Int32 = 0
        var number: Int32 = 0
        let capacity = Int32(answer.count)
        let length: Int32
        if let server = self.server {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = server.port.bigEndian
            address.sin_addr.s_addr = server.address
            length = latchstring_resolver_query(
                name + ".", 257, &address, self.seconds, self.attempts, &answer, capacity, &failure, &number)
        } else {
            length = latchstring_resolver_query(
                name + ".", 257, nil, self.seconds, self.attempts, &answer, capacity, &failure, &number)
        }
        if length >= 0 { return Array(answer.prefix(Int(length))) }
        // An answer with an error code is left in the buffer, and reported as none in time.
        let code = answer[2] & 0x80 != 0 ? answer[3] & 0x0F : 0
        switch failure {
        case HOST_NOT_FOUND, NO_DATA: return nil
        case TRY_AGAIN where code == 2: throw ResolverFailure(reason: "the DNS server cannot say (SERVFAIL)")
        case TRY_AGAIN where code == 5: throw ResolverFailure(reason: "the DNS server refuses the question (REFUSED)")
        case TRY_AGAIN where number == ECONNREFUSED: throw ResolverFailure(reason: "no DNS server answers")
        case TRY_AGAIN: throw ResolverFailure(reason: "no answer in time")
        case NO_RECOVERY: throw ResolverFailure(reason: "the DNS server reports an error")
        default: throw ResolverFailure(reason: "the resolver fails: \(String(cString: strerror(number)))")
        }
    }
}
