import KeyHolder
import Settings

/// Checks the key that signs a key holder's audit: that it is there, that no other user reads it, and that it is the one by which the
/// audit's file was signed so far. A chain is verified by a public half that was written down: another key's is another chain's.
struct AuditKeyCheck {
    let settings: KeyHolderSettings.Audit
    let report: CheckReport

    func run() {
        let state: AuditKeyState
        do throws(AuditLogError) {
            state = try AuditKeyState.of(self.settings.key, signing: self.settings.target)
        } catch {
            return self.report.warn(
                nil, "whose key has signed the audit is not known: \(error.place): \(error.reason)",
                remedy: "Run check as the key holder's user.")
        }
        switch state {
        case .none:
            self.report.ok(
                nil,
                "the audit is chained, and nothing signs it; state: FOLDER, or audit: {to: …, key: FILE}, gives it a key"
            )
        case .toBeMade(let path):
            self.report.ok(nil, "audit key \(path): it is made at the first start, or by latchstring audit key")
        case .ofService(let path):
            self.report.ok(
                nil, "audit key \(path) is that of the audit's user; run check as that user to see whom it signs as")
        case .good(let path, let signer, let hasSigned):
            self.report.ok(
                nil, "audit key \(path) signs as \(signer)" + (hasSigned ? ", as it did before" : ""))
        case .gone(let path, let signer):
            self.report.warn(
                nil,
                "audit key \(path) is not there, and the audit was signed by \(signer): the next start makes another key, and audit verify --key finds its checkpoints forged",
                remedy:
                    "Bring the key back from the backup; if it is lost, write down the new one's public half (latchstring audit key), and verify with both."
            )
        case .other(let path, let signer, let ofFile):
            self.report.warn(
                nil,
                "audit key \(path) signs as \(signer), and the audit was signed by \(ofFile): audit verify --key finds checkpoints of the other one forged",
                remedy:
                    "Bring the right key back; if it was replaced on purpose, move the audit's file away, and verify each part with its own key."
            )
        case .unusable(let reason):
            self.report.fail(nil, "audit key: \(reason)", remedy: nil)
        }
    }
}
