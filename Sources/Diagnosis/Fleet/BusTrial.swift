import FleetBus

/// Whether a user may do on a bus what an edge or a command does, tried without changing anything there.
///
/// A server looks at its user's rights, and at its memory, before it looks at what a command says. So what would write is sent
/// with arguments that no server takes: an error about these means that the right is there.
struct BusTrial: Sendable {
    enum User: Sendable {
        case edge
        case command
    }

    struct Step: Sendable {
        var command: RESPCommand
        /// Its arguments are wrong on purpose.
        var isMalformed = false
        /// It goes without; what is missing then.
        var without: String?
    }

    enum Finding: Equatable, Sendable {
        /// The server's words on some commands.
        case lacksRights([String], String)
        /// What it goes without for lack of a right.
        case goesWithout(String)
        /// The server takes no writes now.
        case takesNoWrites(String)
        /// A key of the fleet holds something else.
        case occupied(String)
        case answer(String)
    }

    let keys: FleetKeys
    let steps: [Step]

    init(fleet: String, user: User) {
        let keys = FleetKeys(fleet: fleet)
        self.keys = keys
        func write(_ words: String...) -> Step {
            Step(command: RESPCommand(words.map { Array($0.utf8) }), isMalformed: true)
        }
        func read(_ words: String...) -> Step { Step(command: RESPCommand(words.map { Array($0.utf8) })) }
        let common = [
            read("TIME"), read("GET", keys.generation), write("SET", keys.generation, "", "NO-SUCH-OPTION"),
        ]
        switch user {
        case .edge:
            self.steps =
                common + [
                    read("XREAD", "COUNT", "1", "STREAMS", keys.purges, "0-0"),
                    read("XRANGE", keys.purges, "-", "+", "COUNT", "1"),
                    write("XADD", keys.reports, "MAXLEN", "none", "*", StreamEntry.field, ""),
                    write("HSET", keys.edges, "a", "b", "c"),
                ]
        case .command:
            self.steps =
                common + [
                    read("XREAD", "COUNT", "1", "STREAMS", keys.reports, "0-0"),
                    read("XREVRANGE", keys.reports, "+", "-", "COUNT", "1"),
                    read("HGETALL", keys.edges),
                    write("XADD", keys.purges, "MAXLEN", "none", "*", StreamEntry.field, ""),
                    // There is no edge without a name.
                    read("HDEL", keys.edges, ""),
                    Step(command: RESPCommand("ROLE"), without: "whether replicas have a purge is not known"),
                    Step(command: RESPCommand("WAIT", "0", "1"), without: "whether replicas have a purge is not known"),
                ]
        }
    }

    /// Judges the replies to ``steps``.
    func findings(_ replies: [RESPValue]) -> [Finding] {
        var findings: [Finding] = []
        var lacking: [String] = []
        var words = ""
        for (step, reply) in zip(self.steps, replies) {
            guard case .error(let text) = reply else { continue }
            switch text.prefix(while: { $0 != " " }) {
            case "NOPERM":
                if let without = step.without {
                    if !findings.contains(.goesWithout(without)) { findings.append(.goesWithout(without)) }
                } else {
                    lacking.append(step.command.name)
                    words = words.isEmpty ? text : words
                }
            case "WRONGTYPE":
                findings.append(.occupied(String(decoding: step.key, as: UTF8.self)))
            case "OOM", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN":
                if !findings.contains(.takesNoWrites(text)) { findings.append(.takesNoWrites(text)) }
            case "ERR" where step.isMalformed && !text.contains("unknown command"): continue
            default: findings.append(.answer("\(step.command.name): \(text)"))
            }
        }
        if !lacking.isEmpty { findings.insert(.lacksRights(lacking, words), at: 0) }
        return findings
    }
}

extension BusTrial.Step {
    /// The key that it looks at.
    fileprivate var key: [UInt8] {
        let words = self.command.words
        guard self.command.name == "XREAD" else { return words.count > 1 ? words[1] : [] }
        return words[words.count - 2]
    }
}
