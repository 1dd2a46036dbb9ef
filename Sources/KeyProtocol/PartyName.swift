/// What an edge, a key holder, a fleet or a signer can be called: 1 to 64 of `a`-`z`, `0`-`9`, `.` and `-`.
///
/// The one rule for identities in certificates, configuration files, commands, and what is read from a fleet's bus.
public enum PartyName {
    public static func isLegal(_ name: some StringProtocol) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}
