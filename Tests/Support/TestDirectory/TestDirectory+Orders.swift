import Crypto
import Foundation
import SwiftASN1
import Synchronization
import X509

/// Orders, authorizations and certificates.
extension TestDirectory {
    func newOrder(_ payload: Data) -> Reply {
        self.note("new-order")
        let isLimited = self.state.withLock { state in
            guard state.faults.rateLimited > 0 else { return false }
            state.faults.rateLimited -= 1
            return true
        }
        guard !isLimited else { return self.problem(429, "rateLimited", ["retry-after": "120"]) }
        guard let body = Self.object(payload), let identifiers = body["identifiers"] as? [[String: String]],
            identifiers.allSatisfy({ $0["type"] == "dns" })
        else { return self.problem(400, "malformed") }
        let names = identifiers.compactMap { $0["value"] }
        let number = self.state.withLock { state in
            let number = state.orders.count + 1
            state.orders[number] = Order(names: names, replaces: body["replaces"] as? String)
            for (index, name) in names.enumerated() {
                state.authorizations["\(number)-\(index)"] = Authorization(
                    name: name, token: Self.text((0..<24).map { _ in UInt8.random(in: 0...255) }))
            }
            return number
        }
        var reply = self.order(number)
        reply.status = 201
        reply.fields["location"] = "\(self.base)/order/\(number)"
        return reply
    }

    func order(_ number: Int) -> Reply {
        let body = self.state.withLock { state -> [String: Any]? in
            guard var order = state.orders[number] else { return nil }
            let ids = order.names.indices.map { "\(number)-\($0)" }
            let isReady = ids.allSatisfy { state.authorizations[$0]?.checked == true }
            var status = isReady ? "ready" : "pending"
            if order.isInvalid { status = "invalid" }
            if order.isFinalized {
                order.polls += 1
                status = order.polls > state.faults.pendingPolls ? "valid" : "processing"
            }
            state.orders[number] = order
            var body: [String: Any] = [
                "status": status, "identifiers": order.names.map { ["type": "dns", "value": $0] },
                "authorizations": ids.map { "\(self.base)/authorization/\($0)" },
                "finalize": "\(self.base)/finalize/\(number)",
            ]
            if status == "valid" { body["certificate"] = "\(self.base)/certificate/\(number)" }
            if status == "invalid" {
                body["error"] = ["type": "urn:ietf:params:acme:error:caa", "detail": "CAA says no"]
            }
            return body
        }
        guard let body else { return self.problem(404, "malformed") }
        return self.reply(200, body)
    }

    func authorization(_ id: String) -> Reply {
        self.note("authorization")
        let body = self.state.withLock { state -> [String: Any]? in
            guard var authorization = state.authorizations[id] else { return nil }
            var status = "pending"
            if let checked = authorization.checked {
                authorization.polls += 1
                if authorization.polls > state.faults.pendingPolls { status = checked ? "valid" : "invalid" }
            }
            state.authorizations[id] = authorization
            let isWildcard = authorization.name.hasPrefix("*.")
            var challenges: [[String: Any]] = []
            for type in isWildcard ? ["dns-01"] : state.faults.challenges {
                var challenge: [String: Any] = [
                    "type": type, "url": "\(self.base)/challenge/\(id)/\(type)", "token": authorization.token,
                    "status": status == "pending" ? "pending" : status,
                ]
                if status == "invalid" {
                    challenge["error"] = [
                        "type": "urn:ietf:params:acme:error:connection", "detail": "nothing is there",
                    ]
                }
                challenges.append(challenge)
            }
            var body: [String: Any] = [
                "status": status, "challenges": challenges,
                "identifier": [
                    "type": "dns", "value": isWildcard ? String(authorization.name.dropFirst(2)) : authorization.name,
                ],
            ]
            if isWildcard { body["wildcard"] = true }
            return body
        }
        guard let body else { return self.problem(404, "malformed") }
        return self.reply(200, body)
    }

    func challenge(_ id: String, _ type: String, _ point: Data) -> Reply {
        self.note("challenge \(type)")
        guard let authorization = self.state.withLock({ $0.authorizations[id] }) else {
            return self.problem(404, "malformed")
        }
        let jwk =
            #"{"crv":"P-256","kty":"EC","x":"\#(Self.text(point.prefix(32)))","y":"\#(Self.text(point.suffix(32)))"}"#
        let thumbprint = Self.text(SHA256.hash(data: Data(jwk.utf8)))
        let name = authorization.name.hasPrefix("*.") ? String(authorization.name.dropFirst(2)) : authorization.name
        let isUp = self.check(type, name, "\(authorization.token).\(thumbprint)")
        self.state.withLock { $0.authorizations[id]?.checked = isUp && !$0.faults.checksFail }
        return self.reply(200, ["type": type, "url": "\(self.base)/challenge/\(id)/\(type)", "status": "processing"])
    }

    func finalize(_ number: Int, _ payload: Data) -> Reply {
        self.note("finalize")
        guard let order = self.state.withLock({ $0.orders[number] }), let body = Self.object(payload),
            let csr = body["csr"] as? String,
            let request = try? CertificateSigningRequest(derEncoded: [UInt8](Self.base64URL(csr))),
            request.publicKey.isValidSignature(request.signature, for: request),
            let extensions = try? request.attributes.extensionRequest?.extensions,
            let names = try? extensions.subjectAlternativeNames,
            Set(names.map { "\($0)" }) == Set(order.names.map { "\(GeneralName.dnsName($0))" })
        else { return self.problem(400, "badCSR") }
        let faults = self.state.withLock { $0.faults }
        guard
            order.names.indices.allSatisfy({ index in
                self.state.withLock { $0.authorizations["\(number)-\(index)"]?.checked == true }
            })
        else { return self.problem(403, "orderNotReady") }
        guard let pem = try? self.issue(order.names, request.publicKey, faults) else {
            return self.problem(500, "serverInternal")
        }
        self.state.withLock { state in
            state.orders[number]?.isInvalid = faults.ordersFail
            state.orders[number]?.isFinalized = !faults.ordersFail
            state.orders[number]?.certificate = pem
        }
        return self.order(number)
    }

    func certificate(_ number: Int) -> Reply {
        self.note("certificate")
        guard let pem = self.state.withLock({ $0.orders[number]?.certificate }) else {
            return self.problem(404, "malformed")
        }
        var reply = self.reply(200)
        reply.fields["content-type"] = "application/pem-certificate-chain"
        reply.body = Array(pem.utf8)
        return reply
    }

    private func issue(_ names: [String], _ key: Certificate.PublicKey, _ faults: Faults) throws -> String {
        let issuer = Certificate.PrivateKey(self.issuer)
        let names = names + (faults.oneNameMore ? ["other.test"] : [])
        let now = Date()
        let leaf = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(),
            publicKey: faults.wrongKey ? Certificate.PublicKey(P256.Signing.PrivateKey().publicKey) : key,
            notValidBefore: now.addingTimeInterval(faults.validity.lowerBound),
            notValidAfter: now.addingTimeInterval(faults.validity.upperBound),
            issuer: self.issuerCertificate.subject, subject: DistinguishedName(), signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                SubjectAlternativeNames(names.map { .dnsName($0) })
                AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: issuer.publicKey).keyIdentifier)
            }, issuerPrivateKey: issuer)
        let leafPEM = try leaf.serializeAsPEM().pemString
        return faults.leafOnly ? leafPEM : "\(leafPEM)\n\(try self.issuerCertificate.serializeAsPEM().pemString)"
    }
}

extension TestDirectory {
    /// For the directory's own HTTPS: chain and key, PEM.
    func serverCertificate() throws -> (chain: String, key: String) {
        let key = P256.Signing.PrivateKey()
        let leaf = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: Certificate.PublicKey(key.publicKey),
            notValidBefore: Date().addingTimeInterval(-3600), notValidAfter: Date().addingTimeInterval(86_400),
            issuer: self.issuerCertificate.subject, subject: DistinguishedName(), signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions { SubjectAlternativeNames([.dnsName("localhost")]) },
            issuerPrivateKey: Certificate.PrivateKey(self.issuer))
        return (try leaf.serializeAsPEM().pemString, key.pemRepresentation)
    }
}
