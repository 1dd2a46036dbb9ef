import SecretFiles
import X509

public import struct FoundationEssentials.Date

/// Identities whose keys do not travel: requests at the party, certificates at the authority.
extension CertificateDirectory {
    /// A request that was written, and the key that it is for.
    public struct Requested: Sendable, Equatable {
        public var role: IdentityRole
        public var name: String
        public var requestPath: String
        public var keyPath: String
        /// Whether the key was made now. Otherwise it was there.
        public var keyIsNew: Bool
        public var fingerprint: String
    }

    /// A certificate that was issued for a request.
    public struct Signed: Sendable, Equatable {
        public var certificatePath: String
        public var authorityPath: String
        public var notAfter: Date
        public var fingerprint: String
    }

    /// Makes a request for each edge and key holder of the order (`edge-NAME.csr`), and its key if there is none.
    ///
    /// A key that is there is used again: a certificate for it can take the place of the one in use without a moment in which the
    /// two do not fit. A request that is there is replaced: all that is in it is public.
    public func request(_ order: CertificateOrder) throws -> [Requested] {
        try order.validate()
        var files: (keys: [PrivateFiles.File], requests: [PrivateFiles.File]) = ([], [])
        var made: [Requested] = []
        for (role, name) in order.identities {
            let stem = FileStem.identity(role, name)
            let path = "\(self.path)/\(stem).key"
            let isNew = !PrivateFiles.exists(path)
            let key: SigningKey
            if isNew {
                key = try SigningKey(generating: .p256)
                files.keys.append(PrivateFiles.File(path: path, text: try key.pkcs8PEM, isPrivate: true))
            } else {
                guard let present = SigningKey(pem: try SecretFile.read(path)) else {
                    throw AuthorityError.unreadable(what: "key \(path)", reason: "it is not a P-256 or RSA key in PEM")
                }
                key = present
            }
            let request = "\(self.path)/\(stem).csr"
            files.requests.append(
                PrivateFiles.File(
                    path: request, text: try IdentityRequest.make(role: role, name: name, key: key), isPrivate: false))
            made.append(
                Requested(
                    role: role, name: name, requestPath: request, keyPath: path, keyIsNew: isNew,
                    fingerprint: IdentityRequest.fingerprint(of: key.privateKey.publicKey)))
        }
        try PrivateFiles.makeDirectory(self.path)
        // A key that came into being meanwhile is not replaced.
        try PrivateFiles.write(files.keys, replacing: false)
        try PrivateFiles.write(files.requests, replacing: true)
        return made
    }

    /// Issues a certificate for a request, by this folder's authority, for the one identity of the order. Name, role and all else in
    /// the certificate come from here; the request has its key alone in it.
    ///
    /// - Parameters:
    ///   - file: the request.
    ///   - replacing: replace a certificate that is there.
    public func sign(
        _ file: String, for order: CertificateOrder, replacing: Bool = false, now: Date = Date()
    ) throws -> Signed {
        try order.validate()
        guard let (role, name) = order.identities.first, order.identities.count == 1, order.sites.isEmpty else {
            throw IdentityRequestError.notOne
        }
        let request = try IdentityRequest(pem: PrivateFiles.read(file))
        let wanted = FleetAuthority.uri(role, name)
        if let asksFor = request.asksFor, asksFor != wanted {
            throw IdentityRequestError.otherIdentity(asksFor: asksFor, wanted: wanted)
        }
        guard let authority = try self.existingAuthority(FileStem.fleetAuthority) else {
            throw IdentityRequestError.noAuthority(self.path)
        }
        let certificate = try FleetAuthority(certificatePEM: authority.certificate, keyPEM: authority.key)
            .certify(request, role: role, name: name, validity: .days(order.identityDays, from: now))
        let path = "\(self.path)/\(FileStem.identity(role, name)).pem"
        if !replacing, PrivateFiles.exists(path) { throw CertificateDirectoryError.exists([path]) }
        try PrivateFiles.write(
            [PrivateFiles.File(path: path, text: try PEM.encode(certificate), isPrivate: false)], replacing: replacing)
        return Signed(
            certificatePath: path, authorityPath: "\(self.path)/\(FileStem.fleetAuthority).pem",
            notAfter: certificate.notValidAfter, fingerprint: request.fingerprint)
    }
}

extension FileStem {
    static func identity(_ role: IdentityRole, _ name: String) -> String {
        switch role {
        case .edge: self.edge(name)
        case .keyholder: self.keyHolder(name)
        }
    }
}
