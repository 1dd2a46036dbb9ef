import ACME
import Logging
import NIOCore
import NIOPosix
import SecretFiles

/// Carries out what ``ACME/Issuance`` decides, for one site.
struct Attempt {
    let site: ManagedSite
    let state: StateFolder
    let host: any CertificateHost
    let logger: Logger

    /// - Returns: The chain that is on disk and in use.
    /// - Throws: ``ACME/ACMEFailure``, or an error about a file.
    func run(replacing old: IssuedChain?, client: DirectoryClient) async throws -> IssuedChain {
        let hadAccount = try self.state.accountURL(self.site.directory) != nil
        var issuance = Issuance(try self.request(replacing: old))
        var actions = issuance.begin(now: CertificateManager.now())[...]
        var failure: (any Error)?
        while let action = actions.popFirst() {
            switch action {
            case .send(let request):
                do {
                    let response = try await client.send(request)
                    actions += issuance.received(response, now: CertificateManager.now())
                } catch {
                    actions += issuance.unreachable("\(error)", now: CertificateManager.now())
                }
            case .present(let task):
                do {
                    try await self.present(task)
                    actions += issuance.presented(now: CertificateManager.now())
                } catch {
                    actions += issuance.notPresented("\(error)", now: CertificateManager.now())
                }
            case .withdraw(let task): await self.withdraw(task)
            case .wait(let until):
                do {
                    try await Task.sleep(for: .milliseconds(max(0, until - CertificateManager.now())))
                    actions += issuance.woke(now: CertificateManager.now())
                } catch {
                    actions += issuance.unreachable("the key holder ends", now: CertificateManager.now())
                }
            case .saveAccount, .saveOrder:
                do {
                    try self.save(action, hadAccount: hadAccount)
                } catch {
                    // What was put up comes down; an attempt that has failed already ends as it does.
                    let end = issuance.failedHere("\(error)")
                    if !end.isEmpty { actions = end[...] }
                }
            case .finished(let chain): return try self.install(chain, replacing: old)
            case .failed(let reason): failure = reason
            }
        }
        throw failure ?? ACMEFailure(.local("the order came to no end"))
    }

    private func save(_ action: Issuance.Action, hadAccount: Bool) throws {
        switch action {
        case .saveAccount(let url):
            try self.state.write(accountURL: url, of: self.site.directory)
            if let url, !hadAccount { self.host.audit(.registered, of: self.site, detail: url) }
        case .saveOrder(let url): try self.state.write(orderURL: url, of: self.site)
        default: break
        }
    }

    private func request(replacing old: IssuedChain?) throws -> Issuance.Request {
        var binding: ExternalAccount?
        if let external = self.site.externalAccount {
            binding = ExternalAccount(kid: external.kid, key: try SecretFile.read(external.keyFile))
            guard binding != nil else {
                throw ACMEFailure(
                    .local(
                        "\(external.keyFile) holds no MAC key in base64url of at least 16 bytes, as authorities give it"
                    ))
            }
        }
        return Issuance.Request(
            directory: self.site.directory, email: self.site.email, externalAccount: binding,
            names: self.site.domains, challenge: self.site.challenge,
            accountKey: try self.state.accountKey(self.site.directory), siteKey: try self.state.siteKey(self.site),
            account: try self.state.accountURL(self.site.directory), order: try self.state.orderURL(self.site),
            replaces: old.flatMap { $0.isPlaceholder ? nil : $0.ariID })
    }

    // MARK: Challenges

    private func present(_ task: ChallengeTask) async throws {
        switch task {
        case .tlsALPN(let name, let certificate): try self.host.show(certificate, for: name)
        case .http(let name, let token, let value): try self.host.show(token: token, value: value, for: name)
        case .dns(let name, let record, let value): try await self.runHook(.present, name, record, value)
        }
    }

    private func withdraw(_ task: ChallengeTask) async {
        switch task {
        case .tlsALPN(let name, _): self.host.withdraw(challengeFor: name)
        case .http(let name, let token, _): self.host.withdraw(token: token, for: name)
        case .dns(let name, let record, let value):
            do {
                try await self.runHook(.cleanup, name, record, value)
            } catch {
                self.logger.warning(
                    "a record for a challenge could not be taken away",
                    metadata: ["record": "\(record)", "reason": "\(error)"])
            }
        }
    }

    /// On a thread that may block, and in a task of its own: a record is taken away although the key holder ends.
    private func runHook(_ action: HookProgram.Action, _ name: String, _ record: String, _ value: String) async throws {
        guard let hook = self.site.hook else { throw ACMEFailure(.local("there is no hook program for dns-01")) }
        try await Task {
            try await NIOThreadPool.singleton.runIfActive {
                try hook.run(action, domain: name, record: record, value: value)
            }
        }.value
    }

    // MARK: The certificate

    /// On disk first, so that what is in use is what a restart finds. A chain that the key holder does not take is set back.
    private func install(_ chain: IssuedChain, replacing old: IssuedChain?) throws -> IssuedChain {
        try self.state.write(chain, of: self.site)
        do {
            try self.host.install(self.site)
        } catch {
            if let old { try self.state.write(old, of: self.site) }
            try self.state.write(orderURL: nil, of: self.site)
            throw ACMEFailure(.badCertificate("the key holder does not take it: \(error)"))
        }
        // The order is done with only now: until here a crash would have fetched the same certificate again.
        try self.state.write(orderURL: nil, of: self.site)
        self.host.audit(
            .issued, of: self.site,
            detail: "\(self.site.key), sha256 \(chain.fingerprint), \(chain.names.joined(separator: ", "))")
        return chain
    }
}
