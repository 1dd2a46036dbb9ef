import FoundationEssentials
import PeerLink
import Settings
import X509

/// Checks the files by which a party shows who it is.
struct IdentityCheck {
    let report: CheckReport
    let now: Date

    /// The credentials, or nil and at least one failure.
    func check(_ settings: IdentitySettings, role: PeerIdentity.Role) -> PeerCredentials? {
        let place = settings.location
        let credentials: PeerCredentials
        do throws(PeerCredentialsError) {
            credentials = try PeerCredentials(
                chainFile: settings.certificate, keyFile: settings.key, authorityFile: settings.authority)
        } catch {
            self.report.fail(place, "\(error)", remedy: "`latchstring certs` makes identities.")
            return nil
        }
        let identity = credentials.identity
        guard identity.role == role else {
            self.report.fail(
                place, "the identity is \(identity), and this file needs one in the role \(role.rawValue)",
                remedy: "Make one with `latchstring certs --\(role.rawValue) NAME`.")
            return nil
        }
        var isGood = true
        if let chain = self.chain(settings.certificate, place), let authority = self.chain(settings.authority, place) {
            isGood = self.checkChain(chain, authority: authority, identity: identity, place: place)
        } else {
            isGood = false
        }
        return isGood ? credentials : nil
    }

    private func chain(_ path: String, _ place: SourceLocation) -> [Certificate]? {
        do {
            return try CertificateChecks.chain(pem: CheckFiles.text(path))
        } catch let error as CertificateChecks.Unusable {
            self.report.fail(place, "cannot use \(path): \(error.reason)", remedy: nil)
        } catch let error as CheckFiles.Unreadable {
            self.report.fail(place, "cannot read \(path): \(error.reason)", remedy: nil)
        } catch {
            self.report.fail(place, "cannot use \(path): \(error)", remedy: nil)
        }
        return nil
    }

    private func checkChain(
        _ chain: [Certificate], authority: [Certificate], identity: PeerIdentity, place: SourceLocation
    ) -> Bool {
        guard CertificateChecks.isSigned(chain, by: authority) else {
            self.report.fail(
                place, "the identity of \(identity) was not signed by the authority",
                remedy: "Use the authority.pem that was made with it, or make a new identity.")
            return false
        }
        var isGood = true
        for certificate in authority {
            let validity = CertificateChecks.validity(of: certificate, now: self.now)
            if validity.outcome == .fail { isGood = false }
            if validity.outcome != .ok {
                self.report.add(
                    CheckLine(
                        outcome: validity.outcome, location: place, text: "the fleet authority is \(validity.text)",
                        remedy: "Make a new authority, and new identities for the fleet."))
            }
        }
        let validity = CertificateChecks.validity(of: chain[0], now: self.now)
        self.report.add(
            CheckLine(
                outcome: validity.outcome, location: place, text: "identity: \(identity), \(validity.text)",
                remedy: validity.outcome == .ok
                    ? nil : "Make a new one: `latchstring certs --\(identity.role.rawValue) \(identity.name) --force`.")
        )
        return isGood && validity.outcome != .fail
    }
}
