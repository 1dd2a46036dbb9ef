/// Why there is no certificate, and when another attempt makes sense.
public struct ACMEFailure: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Reason: Equatable, Sendable {
        /// The directory could not be reached, or did not answer.
        case unreachable(String)
        /// The directory refused a request: what it said, and to what.
        case refused(ACMEProblem, request: String)
        /// Not a refusal, and no answer that RFC 8555 knows either.
        case unexpectedStatus(Int, request: String)
        /// An answer that makes no sense.
        case badAnswer(String)
        /// The directory asks for an account with it, and none is configured.
        case needsExternalAccount
        /// The directory does not check the name in the way that is configured; the ways that it offers.
        case challengeNotOffered(name: String, wanted: String, offered: [String])
        /// The challenge could not be put up.
        case presentation(name: String, reason: String)
        /// The directory looked, and did not find what proves control of the name.
        case challengeFailed(name: String, ACMEProblem)
        /// The order ended without a certificate.
        case orderInvalid(ACMEProblem)
        /// The directory did not come to an end in time; what was waited for.
        case timedOut(String)
        /// The certificate that came is not what was asked for.
        case badCertificate(String)
        /// Something here: a file, a key.
        case local(String)
    }

    public var reason: Reason
    /// Milliseconds since 1970 before which the directory does not want to hear of it again.
    public var notBefore: Int64?

    public init(_ reason: Reason, notBefore: Int64? = nil) {
        self.reason = reason
        self.notBefore = notBefore
    }

    public var description: String { "\(self.message). \(self.remedy)" }

    /// What happened.
    public var message: String {
        switch self.reason {
        case .unreachable(let why): "the ACME directory cannot be reached: \(why)"
        case .refused(let problem, let request): "the ACME directory refused \(request): \(problem)"
        case .unexpectedStatus(let status, let request): "the ACME directory answered \(request) with status \(status)"
        case .badAnswer(let what): "an answer of the ACME directory makes no sense: \(what)"
        case .needsExternalAccount: "the ACME directory wants an external account binding, and none is configured"
        case .challengeNotOffered(let name, let wanted, let offered):
            "the ACME directory does not check \(name) by \(wanted); it offers \(offered.joined(separator: ", "))"
        case .presentation(let name, let reason): "the challenge for \(name) could not be put up: \(reason)"
        case .challengeFailed(let name, let problem): "the check of \(name) failed: \(problem)"
        case .orderInvalid(let problem): "the order ended without a certificate: \(problem)"
        case .timedOut(let what): "the ACME directory did not come to an end with \(what) in time"
        case .badCertificate(let why): "the certificate that was issued is not used: \(why)"
        case .local(let why): why
        }
    }

    /// What to do, in full sentences.
    public var remedy: String {
        switch self.reason {
        case .unreachable: "Check the URL, the network, and the root certificates"
        case .refused(let problem, _): Self.remedy(for: problem)
        case .unexpectedStatus, .badAnswer: "Is the URL that of an ACME directory?"
        case .needsExternalAccount: "Write eab: {kid: …, key: FILE} with what the authority gave you"
        case .challengeNotOffered: "Choose another challenge; wildcards need dns-01"
        case .presentation: "Mend what the reason says; it will be tried again"
        case .challengeFailed(_, let problem): Self.remedy(for: problem)
        case .orderInvalid(let problem): Self.remedy(for: problem)
        case .timedOut: "It will be tried again"
        case .badCertificate: "The old certificate stays. Tell the authority if this goes on"
        case .local: "It will be tried again"
        }
    }

    private static func remedy(for problem: ACMEProblem) -> String {
        switch problem.name {
        case "rateLimited": "Wait, and look for what orders so often"
        case "caa": "Let the CAA record of the name allow this authority, account and challenge"
        case "dns": "Check the name's records in DNS"
        case "connection", "tls", "unauthorized", "incorrectResponse":
            "Does the name lead to an edge that serves this site with this key holder, on port 443?"
        case "userActionRequired": "Agree to the authority's new terms, as its message says"
        case "externalAccountRequired": "Write eab: {kid: …, key: FILE} with what the authority gave you"
        case "invalidContact", "unsupportedContact": "Correct the e-mail address"
        case "rejectedIdentifier", "unsupportedIdentifier": "Order names that the authority issues for"
        default: "It will be tried again"
        }
    }

    /// Constant text, for a metric's label.
    public var label: String {
        switch self.reason {
        case .unreachable: "unreachable"
        case .refused(let problem, _): problem.name == "rateLimited" ? "rate-limited" : "refused"
        case .unexpectedStatus, .badAnswer: "bad-answer"
        case .needsExternalAccount: "needs-external-account"
        case .challengeNotOffered: "challenge-not-offered"
        case .presentation: "challenge-not-put-up"
        case .challengeFailed: "challenge-failed"
        case .orderInvalid: "order-invalid"
        case .timedOut: "timed-out"
        case .badCertificate: "bad-certificate"
        case .local: "local"
        }
    }
}
