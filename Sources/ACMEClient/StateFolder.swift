import ACME
import Crypto
import Hexadecimal
public import Logging
import SecretFiles

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What outlives a restart: account keys, sites' keys, certificates, orders in progress, plans.
///
///     accounts/DIRECTORY/account.key      the account's key
///     accounts/DIRECTORY/account.json     its URL
///     sites/NAME/site.key                 the certificate's key
///     sites/NAME/chain.pem                the chain; until the first one comes, a placeholder
///     sites/NAME/order.json               the order in progress
///     sites/NAME/plan.json                when to renew, and failures
///     sites/NAME/rsa/…                    the same four of an RSA certificate
///
/// All files are written as ``SecretFiles/SecretFile/write(_:to:)`` says, and read by the rule for secrets. A file that is there,
/// meets the rule and cannot be understood is set aside as `NAME.bad`, with a warning, and made anew: so a damaged one costs an
/// order and not the site.
public struct StateFolder: Sendable {
    public let path: String
    let logger: Logger

    public init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    // MARK: Places

    private func file(_ name: String, of site: ManagedSite) -> String {
        "\(StateLayout.folder(of: site.name, site.key, in: self.path))/\(name)"
    }

    /// One account for each directory: a directory finds an account by its key.
    private func account(_ name: String, of directory: String) -> String {
        let digest = SHA256.hash(data: Array(directory.utf8)).prefix(8)
        return "\(self.path)/accounts/\(Hex.text(digest))/\(name)"
    }

    // MARK: The whole

    /// Keeps other processes away from the folder, until this one ends or lets go.
    ///
    /// - Throws: ``StateError``.
    @discardableResult
    public func lock() throws -> StateLock {
        try SecretFile.makeFolder(self.path)
        let descriptor = openLock("\(self.path)/lock")
        guard descriptor >= 0 else {
            throw StateError(
                "cannot use \(self.path): \(String(cString: strerror(errno))). It must belong to the user who runs the key holder, with all that is in it"
            )
        }
        let lock = StateLock(descriptor, path: self.path)
        do { try lock.take() } catch {
            close(descriptor)
            throw error
        }
        return lock
    }

    /// Sees to it that the site has a key and a chain of that key, be it a placeholder.
    ///
    /// - Parameter now: milliseconds since 1970.
    /// - Throws: ``StateError``, or an error about the file.
    public func prepare(_ site: ManagedSite, now: Int64) throws {
        try SecretFile.makeFolder(StateLayout.folder(of: site.name, site.key, in: self.path))
        let key = try self.siteKey(site)
        let path = self.file("chain.pem", of: site)
        if let text = try self.text(path) {
            do {
                let chain = try IssuedChain(stored: text)
                // One that is not for all domains serves the others until the new one comes.
                if try chain.belongs(to: key), !chain.isPlaceholder || Set(chain.names) == Set(site.domains) { return }
                guard !chain.isPlaceholder else { return try self.writePlaceholder(site, key, now) }
            } catch {}
            try self.setAside(path)
        }
        try self.writePlaceholder(site, key, now)
    }

    private func writePlaceholder(_ site: ManagedSite, _ key: SiteKey, _ now: Int64) throws {
        try SecretFile.write(
            try Placeholder.pem(for: site.domains, key: key, now: now), to: self.file("chain.pem", of: site))
    }

    // MARK: Keys

    func siteKey(_ site: ManagedSite) throws -> SiteKey {
        let path = self.file("site.key", of: site)
        if let text = try self.text(path) {
            if let key = try? SiteKey(pem: text), key.kind == site.key { return key }
            try self.setAside(path)
        }
        let key = try SiteKey(site.key)
        try SecretFile.write(key.pem, to: path)
        return key
    }

    func accountKey(_ directory: String) throws -> AccountKey {
        let path = self.account("account.key", of: directory)
        if let text = try self.text(path) {
            if let key = try? AccountKey(pem: text) { return key }
            try self.setAside(path)
        }
        let key = AccountKey()
        try SecretFile.makeFolder(String(path.dropLast("/account.key".count)))
        // An account of another key is none.
        try SecretFile.remove(self.account("account.json", of: directory))
        try SecretFile.write(key.pem, to: path)
        return key
    }

    // MARK: Certificates, accounts, orders, plans

    func chain(_ site: ManagedSite) throws -> IssuedChain? {
        try self.text(self.file("chain.pem", of: site)).flatMap { try? IssuedChain(stored: $0) }
    }

    func write(_ chain: IssuedChain, of site: ManagedSite) throws {
        try SecretFile.write(chain.pem, to: self.file("chain.pem", of: site))
    }

    private struct Place: Codable {
        var directory: String
        var url: String
    }

    func accountURL(_ directory: String) throws -> String? {
        try self.value(Place.self, self.account("account.json", of: directory)).flatMap {
            $0.directory == directory ? $0.url : nil
        }
    }

    func write(accountURL url: String?, of directory: String) throws {
        try self.write(
            url.map { Place(directory: directory, url: $0) }, to: self.account("account.json", of: directory))
    }

    func orderURL(_ site: ManagedSite) throws -> String? {
        try self.value(Place.self, self.file("order.json", of: site)).flatMap {
            $0.directory == site.directory ? $0.url : nil
        }
    }

    func write(orderURL url: String?, of site: ManagedSite) throws {
        try self.write(url.map { Place(directory: site.directory, url: $0) }, to: self.file("order.json", of: site))
    }

    private struct StoredPlan: Codable {
        var directory: String
        var domains: [String]
        var plan: RenewalPlan
    }

    /// A new one for another directory or other domains: a back-off was about what was configured then.
    func plan(_ site: ManagedSite) throws -> RenewalPlan {
        guard let stored = try self.value(StoredPlan.self, self.file("plan.json", of: site)),
            stored.directory == site.directory, stored.domains == site.domains
        else { return RenewalPlan() }
        return stored.plan
    }

    func write(_ plan: RenewalPlan, of site: ManagedSite) throws {
        let stored = StoredPlan(directory: site.directory, domains: site.domains, plan: plan)
        try self.write(stored, to: self.file("plan.json", of: site))
    }

    // MARK: Files

    /// nil: there is none.
    private func text(_ path: String) throws -> String? {
        do throws(SecretFileError) { return try SecretFile.read(path) } catch {
            switch error.reason {
            case .system(ENOENT): return nil
            case .notText:
                try self.setAside(path)
                return nil
            default: throw error
            }
        }
    }

    private func value<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value? {
        guard let text = try self.text(path) else { return nil }
        if let value = try? JSONDecoder().decode(type, from: Data(text.utf8)) { return value }
        try self.setAside(path)
        return nil
    }

    private func write(_ value: (some Encodable)?, to path: String) throws {
        guard let value else { return try SecretFile.remove(path) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try SecretFile.write(String(decoding: try encoder.encode(value), as: UTF8.self) + "\n", to: path)
    }

    private func setAside(_ path: String) throws {
        self.logger.warning(
            "a file of the ACME state is damaged, or of no use any more: it is set aside, and made anew",
            metadata: ["file": "\(path)", "kept-as": "\(path).bad"])
        try SecretFile.rename(path, to: "\(path).bad")
    }
}

/// Keeps other processes away from a state folder.
public struct StateLock: Sendable {
    private let descriptor: CInt
    private let path: String

    fileprivate init(_ descriptor: CInt, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// - Throws: ``StateError``, if another process has it.
    public func take() throws {
        guard flock(self.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw StateError(
                "\(self.path) is in use by another process; each key holder needs a state folder of its own")
        }
    }

    /// Another process may have it from now on.
    public func letGo() { _ = flock(self.descriptor, LOCK_UN) }
}

/// Why the state folder cannot be used.
public struct StateError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String

    init(_ description: String) { self.description = description }
}

private func openLock(_ path: String) -> CInt { open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
