import KeyProtocol
import NativeHandshake
import TLSWire

/// Decides whether an edge may bring a native handshake for a site. Pure.
struct NativeJudge {
    struct Verdict {
        var grant: Grant
        var service: NativeSite
    }

    struct Refusal: Error, Equatable {
        var alert: NativeAlert
        var outcome: AuditOutcome
        var detail: String?
    }

    var edge: String
    var policy: Policy
    /// Monotonic nanoseconds, for rate limits.
    var now: UInt64
    /// Seconds since 1970, for expiry.
    var wallSeconds: Int64

    /// The site that has the name.
    func site(_ hello: NativeHello) -> Site? {
        self.policy.index.site(byName: SiteQuery(serverName: hello.serverName.rawValue))
    }

    /// A site that does not exist, one that is not granted and one without an application get the same answer.
    func judge(_ site: Site?) throws(Refusal) -> Verdict {
        guard let site else { throw Refusal(alert: .notAllowed, outcome: .unknownSite) }
        guard let grant = self.policy.grant(to: self.edge, for: site), grant.allows(.native) else {
            throw Refusal(alert: .notAllowed, outcome: .denied)
        }
        guard let service = site.native else {
            throw Refusal(alert: .notAllowed, outcome: .denied, detail: "the site has no application")
        }
        guard grant.takeNativeToken(now: self.now), grant.takeToken(of: .native, now: self.now) else {
            throw Refusal(alert: .busy, outcome: .rateLimited)
        }
        guard self.wallSeconds <= service.credential.notAfter else {
            throw Refusal(alert: .internalError, outcome: .expired)
        }
        return Verdict(grant: grant, service: service)
    }
}

extension Policy {
    /// Whether the edge may still bring clients to the site that was served, which may be of an earlier policy. Unlike a
    /// signature, a native handshake is of one site: another with the same key does not stand in for it.
    func stillServes(_ served: NativeIntake.Served, to edge: String) -> Bool {
        guard let site = self.index.site(byName: SiteQuery(serverName: served.serverName.rawValue)),
            let grant = self.grant(to: edge, for: site)
        else { return false }
        return grant.allows(.native) && site.native?.application == served.application
    }
}

/// What a site needs to serve native clients.
struct NativeSite: Sendable {
    var origin: NativeOrigin
    var application: ApplicationConfiguration
    /// Whose key serves native clients: the site's first that can.
    var credential: SiteCredential

    /// - Throws: ``SiteLoadError/nativeKey(_:reason:)`` if no key can decrypt.
    init(
        _ application: ApplicationConfiguration, credentials: [SiteCredential], chainName: String
    ) throws(SiteLoadError) {
        let usable = credentials.lazy.compactMap { credential in
            credential.key.signsHandshakesOnly ? nil : Self.kind(credential.key.type).map { (credential, $0) }
        }.first
        guard let (credential, kind) = usable else {
            throw .nativeKey(chainName, reason: Self.refusal(of: credentials))
        }
        do throws(NativeError) {
            self.origin = try NativeOrigin(chain: credential.chain, keyKind: kind, variants: application.variants)
        } catch { throw .nativeKey(credential.chainName, reason: "\(error)") }
        self.application = application
        self.credential = credential
    }

    private static func kind(_ key: KeyType) -> NativeKeyKind? {
        switch key {
        case .p256: .p256
        case .rsa: .rsa
        case .ed25519, .p384, .p521: nil
        }
    }

    private static func refusal(of credentials: [SiteCredential]) -> String {
        let type: KeyType? = credentials.first?.key.type
        guard type != .ed25519 else { return OriginPublicKey.ed25519Refusal }
        return
            "a \(type.map { "\($0)" } ?? "missing") key cannot serve the native handshake; use a P-256 or RSA certificate"
    }
}

extension SealedSecret {
    var operation: KeyOperation {
        switch self {
        case .oaep(let ciphertext): .decryptOAEP(ciphertext)
        case .hpke(let encapsulatedKey, let ciphertext, let info, let authenticated):
            .openHPKE(
                encapsulatedKey: encapsulatedKey, ciphertext: ciphertext, info: info, authenticated: authenticated)
        }
    }
}

extension NativeError {
    /// How audit lines name it.
    var outcome: AuditOutcome {
        switch self {
        case .notNative, .unsupportedVersion, .tooLarge, .unexpectedMessage, .malformed, .unknownVariant, .notOffered,
            .weakShare, .afterEnd:
            .formatError
        case .badSignature, .badFinished, .badRecord, .internalFailure: .cryptographyFailed
        case .nothingInCommon, .unsupportedKey: .wrongKeyType
        case .variantNotAllowed, .unknownName, .certificateRefused: .denied
        case .truncated, .timeout, .alert: .abandoned
        }
    }
}
