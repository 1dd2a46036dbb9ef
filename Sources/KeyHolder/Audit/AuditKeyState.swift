import AuditChain
import SecretFiles
public import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What is to be said of the key that signs an audit, before a key holder starts with it.
public enum AuditKeyState: Equatable, Sendable {
    /// There is no place for one: nothing is signed.
    case none
    /// It is made at the first start.
    case toBeMade(String)
    /// It is not there, and the audit's file has checkpoints of this key; another one would be made at the next start.
    case gone(String, signer: String)
    /// The key holder would not start with it, and why not. A full sentence but for its end.
    case unusable(String)
    /// This process is root's, and the key is closed and belongs to the user whose the audit's file is: the service's, who can use it.
    case ofService(String)
    /// The key, and another one by which the file's last checkpoint is.
    case other(String, signer: String, ofFile: String)
    /// The key, and whether the file has a checkpoint of it.
    case good(String, signer: String, hasSigned: Bool)

    /// Looks at the files; makes and changes nothing. Blocks.
    ///
    /// - Parameters:
    ///   - key: Path of the key; nil: there is no place for one.
    ///   - target: Where the audit is written.
    /// - Throws: ``AuditLogError``, where the audit's file cannot be read.
    public static func of(_ key: String?, signing target: LogTarget) throws(AuditLogError) -> AuditKeyState {
        guard let key else { return .none }
        var ofFile: CheckpointSigner?
        if case .file(let path) = target { ofFile = try AuditTail.lastSigner(of: path) }
        if let problem = SecretFile.problem(key) {
            if case .owner(_, wanted: 0) = problem.reason, Self.isService(key, of: target) { return .ofService(key) }
            guard problem.isMissing else { return .unusable("\(problem)") }
            return ofFile.map { .gone(key, signer: "\($0)") } ?? .toBeMade(key)
        }
        let own: CheckpointSigner
        do throws(SigningKeyFile.Failure) { own = CheckpointSigner(try SigningKeyFile.read(key)) } catch {
            return .unusable("\(error)")
        }
        if let ofFile, ofFile != own { return .other(key, signer: "\(own)", ofFile: "\(ofFile)") }
        return .good(key, signer: "\(own)", hasSigned: ofFile != nil)
    }

    private static func isService(_ key: String, of target: LogTarget) -> Bool {
        guard case .file(let path) = target else { return false }
        var (ofKey, ofFile) = (stat(), stat())
        guard stat(key, &ofKey) == 0, stat(path, &ofFile) == 0 else { return false }
        return ofKey.st_uid == ofFile.st_uid && ofKey.st_mode & 0o077 == 0
    }
}
