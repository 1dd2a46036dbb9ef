public import TLSWire

/// Looks for a name's CAA records as an authority does (RFC 8659 §3): at the name, and while there are none, one label higher
/// each time, up to but without the root.
///
/// Answers are kept, so that names under one domain ask for it once. What could not be answered ends the climb, since records
/// might stand there.
public struct CAALookup: Sendable {
    /// Questions that may be asked in all.
    public static let mostQuestions = 1000
    /// After so many questions in a row without an answer, no more are asked.
    public static let patience = 2

    public enum Failure: Error, Equatable, Sendable {
        /// No answer for this name, with the reason.
        case unanswered(String, reason: String)
        /// The questions are used up, or the resolver does not answer: nothing was asked.
        case notAsked
    }

    /// Asks one question. Returns the DNS message, or nil where the name or its records do not exist.
    public typealias Ask = @Sendable (String) async throws(ResolverFailure) -> [UInt8]?

    private let ask: Ask
    private var known: [String: Result<[CAARecord], Failure>] = [:]
    private var questions = 0
    private var silences = 0

    public init(ask: @escaping Ask) {
        self.ask = ask
    }

    public mutating func policy(for name: ServerName) async throws(Failure) -> CAAPolicy {
        var labels = name.rawValue.split(separator: ".")[...]
        while !labels.isEmpty {
            let candidate = labels.joined(separator: ".")
            let records = try await self.records(of: candidate)
            if !records.isEmpty { return CAAPolicy(records, at: candidate) }
            labels = labels.dropFirst()
        }
        return .none
    }

    private mutating func records(of name: String) async throws(Failure) -> [CAARecord] {
        if let known = self.known[name] { return try known.get() }
        guard self.questions < Self.mostQuestions, self.silences < Self.patience else { throw .notAsked }
        self.questions += 1
        let result: Result<[CAARecord], Failure>
        do throws(ResolverFailure) {
            if let message = try await self.ask(name) {
                do throws(DNSAnswer.Malformed) {
                    result = .success(try DNSAnswer.records(in: message, of: name))
                } catch {
                    result = .failure(.unanswered(name, reason: "the answer cannot be read (\(error))"))
                }
            } else {
                result = .success([])
            }
            self.silences = 0
        } catch {
            result = .failure(.unanswered(name, reason: error.reason))
            self.silences += 1
        }
        self.known[name] = result
        return try result.get()
    }
}
