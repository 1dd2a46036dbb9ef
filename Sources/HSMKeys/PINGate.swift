/// Whether a PIN may be tried at a token. A wrong one is never tried twice: most tokens lock themselves after a few.
///
/// A refused token stays closed for all workers until a reload finds another PIN. Pure; a PIN is known by a hash alone whose key is random
/// and in memory only (``LoginDesk``).
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
    private var refused: [Token: [UInt8]] = [:]

    func mayTry(_ pin: [UInt8], at token: Token, _ occasion: Occasion) -> Bool {
        guard let refused = self.refused[token] else { return true }
        switch occasion {
        case .restart: return false
        case .load: return pin != refused
        }
    }

    func isAccepted(_ pin: [UInt8], _ token: Token) -> Bool { self.accepted[token] == pin }

    mutating func took(_ pin: [UInt8], _ token: Token) {
        self.accepted[token] = pin
        self.refused[token] = nil
    }

    mutating func refused(_ pin: [UInt8], _ token: Token) {
        self.accepted[token] = nil
        self.refused[token] = pin
    }

    /// There was no answer: a PIN that the token did not take before may have been wrong.
    mutating func gotNoAnswer(_ pin: [UInt8], _ token: Token) {
        guard self.accepted[token] != pin else { return }
        self.refused[token] = pin
    }
}
