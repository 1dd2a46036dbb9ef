@_implementationOnly import CNIOBoringSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// An OCSP response (RFC 6960) as a server shows it beside its certificate, so that clients need not ask the authority (RFC 6066 §8).
///
/// It is looked at as far as a server needs: that it says something of this certificate, and until when. The authority's signature is
/// the client's to verify; a response that does not verify costs a client no more than none.
public struct OCSPStaple: Equatable, Sendable {
    /// A response with a certificate of its signer in it takes 2 KiB or so.
    public static let maximumBytes = 65_536

    /// The whole OCSPResponse in DER.
    public let response: [UInt8]
    /// When what it says was so, in seconds since 1970 UTC.
    public let thisUpdate: Int64
    /// When the authority has news at the latest; nil: it does not say, and may have news at any time.
    public let nextUpdate: Int64?

    /// Why a response is not shown.
    public enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
        case tooLarge(Int)
        /// Not an OCSPResponse in DER with a basic response in it.
        case malformed
        /// The authority did not answer: its word for why not (RFC 6960 §4.2.1).
        case unsuccessful(UInt8)
        /// It says nothing of the certificate.
        case otherCertificate
        case revoked
        /// The authority does not know the certificate.
        case unknown
        /// Its time begins later, in seconds since 1970 UTC.
        case early(Int64)
        case expired(Int64)

        public var description: String {
            switch self {
            case .tooLarge(let bytes):
                "it has \(bytes) bytes, and an OCSP response has \(OCSPStaple.maximumBytes) at most"
            case .malformed: "it is no OCSP response in DER"
            case .unsuccessful(let status): "the authority answered with an error: \(Self.word(status))"
            case .otherCertificate: "it says nothing of the site's certificate"
            case .revoked: "it says that the certificate is revoked"
            case .unknown: "it says that the authority does not know the certificate"
            case .early(let time): "it is good from \(time) on (seconds since 1970 UTC)"
            case .expired(let time): "it was good until \(time) (seconds since 1970 UTC)"
            }
        }

        private static func word(_ status: UInt8) -> String {
            switch status {
            case 1: "malformed request"
            case 2: "internal error"
            case 3: "try later"
            case 5: "signature required"
            case 6: "unauthorized"
            default: "status \(status)"
            }
        }
    }

    /// - Parameters:
    ///   - response: an OCSPResponse in DER.
    ///   - leaf: the certificate in DER that it is to be about; nil: whichever it is about.
    public init(_ response: [UInt8], for leaf: [UInt8]?) throws(Problem) {
        guard response.count <= Self.maximumBytes else { throw .tooLarge(response.count) }
        let answers: [DER.SingleResponse] = try DER.responses(response)
        let answer: DER.SingleResponse?
        if let leaf {
            guard let certificate = DER.certificate(leaf) else { throw .otherCertificate }
            answer = answers.first { $0.isAbout(certificate) }
        } else {
            answer = answers.first
        }
        guard let answer else { throw .otherCertificate }
        switch answer.status {
        case .good: break
        case .revoked: throw .revoked
        case .unknown: throw .unknown
        }
        self.response = response
        self.thisUpdate = answer.thisUpdate
        self.nextUpdate = answer.nextUpdate
    }

    /// Clocks differ.
    private static let tolerance: Int64 = 300

    /// Why it is not shown at this time; nil: it is.
    ///
    /// - Parameter now: seconds since 1970 UTC.
    public func problem(at now: Int64) -> Problem? {
        if self.thisUpdate > now + Self.tolerance { return .early(self.thisUpdate) }
        if let nextUpdate, now >= nextUpdate { return .expired(nextUpdate) }
        return nil
    }
}

/// What is read of certificates and OCSP responses, with BoringSSL's reader of DER. It never reads beyond what it was given.
private enum DER {
    struct Certificate {
        var serial: [UInt8]
        /// The issuer's name, as an element.
        var issuer: [UInt8]
    }

    struct SingleResponse {
        enum Status { case good, revoked, unknown }

        var hash: [UInt8]
        var issuerNameHash: [UInt8]
        var serial: [UInt8]
        var status: Status
        var thisUpdate: Int64
        var nextUpdate: Int64?

        func isAbout(_ certificate: Certificate) -> Bool {
            guard self.serial == certificate.serial else { return false }
            // Of another hash the number has to do: it tells the certificates of one site apart.
            guard let digest = DER.digest(self.hash, of: certificate.issuer) else { return true }
            return digest == self.issuerNameHash
        }
    }

    private static let constructed: UInt32 = 0x20 << 24
    private static let contextSpecific: UInt32 = 0x80 << 24
    private static let integer: UInt32 = 2
    private static let octetString: UInt32 = 4
    private static let identifier: UInt32 = 6
    private static let enumerated: UInt32 = 10
    private static let generalizedTime: UInt32 = 24
    private static let sequence: UInt32 = constructed | 16

    private static func context(_ number: UInt32, isConstructed: Bool = true) -> UInt32 {
        self.contextSpecific | (isConstructed ? self.constructed : 0) | number
    }

    /// id-pkix-ocsp-basic, SHA-1, SHA-256.
    private static let basic: [UInt8] = [0x2B, 6, 1, 5, 5, 7, 0x30, 1, 1]
    private static let sha1: [UInt8] = [0x2B, 0x0E, 3, 2, 0x1A]
    private static let sha256: [UInt8] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]

    static func digest(_ hash: [UInt8], of bytes: [UInt8]) -> [UInt8]? {
        switch hash {
        case Self.sha1:
            var digest = [UInt8](repeating: 0, count: 20)
            SHA1(bytes, bytes.count, &digest)
            return digest
        case Self.sha256:
            var digest = [UInt8](repeating: 0, count: 32)
            SHA256(bytes, bytes.count, &digest)
            return digest
        default: return nil
        }
    }

    static func certificate(_ der: [UInt8]) -> Certificate? {
        der.withUnsafeBufferPointer { bytes in
            var reader = CBS()
            CBS_init(&reader, bytes.baseAddress, bytes.count)
            guard var certificate = Self.take(Self.sequence, from: &reader),
                var body = Self.take(Self.sequence, from: &certificate)
            else { return nil }
            _ = Self.takeOptional(Self.context(0), from: &body)
            guard let serial = Self.take(Self.integer, from: &body), Self.take(Self.sequence, from: &body) != nil,
                let issuer = Self.takeElement(Self.sequence, from: &body)
            else { return nil }
            return Certificate(serial: Self.bytes(serial), issuer: Self.bytes(issuer))
        }
    }

    static func responses(_ der: [UInt8]) throws(OCSPStaple.Problem) -> [SingleResponse] {
        let result: Result<[SingleResponse], OCSPStaple.Problem> = der.withUnsafeBufferPointer { bytes in
            var reader = CBS()
            CBS_init(&reader, bytes.baseAddress, bytes.count)
            guard var response = Self.take(Self.sequence, from: &reader), CBS_len(&reader) == 0,
                let status = Self.take(Self.enumerated, from: &response).map(Self.bytes), status.count == 1
            else { return .failure(.malformed) }
            guard status[0] == 0 else { return .failure(.unsuccessful(status[0])) }
            guard var explicit = Self.take(Self.context(0), from: &response),
                var typed = Self.take(Self.sequence, from: &explicit),
                Self.take(Self.identifier, from: &typed).map(Self.bytes) == Self.basic,
                var octets = Self.take(Self.octetString, from: &typed),
                var basic = Self.take(Self.sequence, from: &octets),
                var data = Self.take(Self.sequence, from: &basic)
            else { return .failure(.malformed) }
            _ = Self.takeOptional(Self.context(0), from: &data)
            // The responder, by name or by key; then when it was produced.
            guard
                Self.takeOptional(Self.context(1), from: &data) ?? Self.takeOptional(Self.context(2), from: &data)
                    != nil,
                Self.take(Self.generalizedTime, from: &data) != nil,
                var list = Self.take(Self.sequence, from: &data)
            else { return .failure(.malformed) }
            var responses: [SingleResponse] = []
            while CBS_len(&list) > 0 {
                guard var single = Self.take(Self.sequence, from: &list), let parsed = Self.single(&single) else {
                    return .failure(.malformed)
                }
                responses.append(parsed)
            }
            return .success(responses)
        }
        return try result.get()
    }

    private static func single(_ reader: inout CBS) -> SingleResponse? {
        guard var id = Self.take(Self.sequence, from: &reader), var algorithm = Self.take(Self.sequence, from: &id),
            let hash = Self.take(Self.identifier, from: &algorithm), let name = Self.take(Self.octetString, from: &id),
            Self.take(Self.octetString, from: &id) != nil, let serial = Self.take(Self.integer, from: &id)
        else { return nil }
        let status: SingleResponse.Status
        if Self.takeOptional(Self.context(0, isConstructed: false), from: &reader) != nil {
            status = .good
        } else if Self.takeOptional(Self.context(1), from: &reader) != nil {
            status = .revoked
        } else if Self.takeOptional(Self.context(2, isConstructed: false), from: &reader) != nil {
            status = .unknown
        } else {
            return nil
        }
        guard let thisUpdate = Self.time(&reader) else { return nil }
        var nextUpdate: Int64?
        if var explicit = Self.takeOptional(Self.context(0), from: &reader) {
            nextUpdate = Self.time(&explicit)
            guard nextUpdate != nil else { return nil }
        }
        return SingleResponse(
            hash: Self.bytes(hash), issuerNameHash: Self.bytes(name), serial: Self.bytes(serial), status: status,
            thisUpdate: thisUpdate, nextUpdate: nextUpdate)
    }

    // MARK: Elements

    /// The content of the next element, if it has this tag.
    private static func take(_ tag: UInt32, from reader: inout CBS) -> CBS? {
        var content = CBS()
        return CBS_get_asn1(&reader, &content, tag) == 1 ? content : nil
    }

    private static func takeOptional(_ tag: UInt32, from reader: inout CBS) -> CBS? {
        CBS_peek_asn1_tag(&reader, tag) == 1 ? Self.take(tag, from: &reader) : nil
    }

    /// The same with its head.
    private static func takeElement(_ tag: UInt32, from reader: inout CBS) -> CBS? {
        var element = CBS()
        return CBS_get_asn1_element(&reader, &element, tag) == 1 ? element : nil
    }

    private static func time(_ reader: inout CBS) -> Int64? {
        guard var content = Self.take(Self.generalizedTime, from: &reader) else { return nil }
        var parts = tm()
        var seconds: Int64 = 0
        guard CBS_parse_generalized_time(&content, &parts, 0) == 1, OPENSSL_tm_to_posix(&parts, &seconds) == 1 else {
            return nil
        }
        return seconds
    }

    private static func bytes(_ reader: CBS) -> [UInt8] {
        var reader = reader
        return Array(UnsafeBufferPointer(start: CBS_data(&reader), count: CBS_len(&reader)))
    }
}
