/// Whether a PIN may be tried at a token. A wrong one is never tried twice: most tokens lock themselves after a few.
///
/// A token that has refused a PIN stays closed for workers, but with the PIN that it takes, until a reload finds one that it has not
/// refused. Pure; a PIN is known by a hash alone whose key is random and in memory only (``LoginDesk``).
struct PINGate {
    /// A token as it calls itself.
    struct Token: Hashable {
        var label: String
        var serial: String
    }

    /// Why a PIN is tried.
    enum Occasion {
        /// A worker is started while the key holder runs.
        case restart
        /// The key holder starts, or reads its configuration again.
        case load
    }

    private var accepted: [Token: [UInt8]] = [:]
    /// The latest last.
    private var refused: [Token: [[UInt8]]] = [:]

    /// Refused PINs of a token that are remembered. Tokens lock themselves after fewer.
    static let most = 8

    func mayTry(_ pin: [UInt8], at token: Token, _ occasion: Occasion) -> Bool {
        guard let refused = self.refused[token] else { return true }
        guard !refused.contains(pin) else { return false }
        switch occasion {
        case .restart: return self.isAccepted(pin, token)
        case .load: return true
        }
    }

    func isAccepted(_ pin: [UInt8], _ token: Token) -> Bool { self.accepted[token] == pin }

    /// - Returns: Whether it is news: then those that the token refused before are forgotten, and one of them may be its next one.
    mutating func took(_ pin: [UInt8], _ token: Token) -> Bool {
        guard self.accepted[token] != pin else { return false }
        self.accepted[token] = pin
        self.refused[token] = nil
        return true
    }

    mutating func refused(_ pin: [UInt8], _ token: Token) {
        // What it took, and takes no more. Another one says nothing of that.
        if self.accepted[token] == pin { self.accepted[token] = nil }
        var pins = self.refused[token, default: []].filter { $0 != pin }
        pins.append(pin)
        self.refused[token] = pins.suffix(Self.most)
    }

    /// There was no answer: a PIN that the token did not take before may have been wrong.
    mutating func gotNoAnswer(_ pin: [UInt8], _ token: Token) {
        guard self.accepted[token] != pin else { return }
        self.refused(pin, token)
    }
}
