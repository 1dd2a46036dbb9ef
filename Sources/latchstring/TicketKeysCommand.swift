import ArgumentParser
import KeyHolder
import SecretFiles

/// `latchstring ticket-keys`: the session ticket keys that the key holders of a site share.
struct TicketKeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ticket-keys",
        abstract: "Make and rotate the session ticket keys that the key holders of a site share.",
        discussion: """
            Key holders read the file that ticket-keys names in a site's tls, and read it again within 10 seconds of a change. \
            Make one file, copy it to the site's key holders by a way that keeps it secret, and rotate it every day or two: \
            rotate one copy, then copy that to the others. They may get it at different times: each file has the next key \
            already. After an edge was revoked or a key holder was lost, replace the keys at once.
            """,
        subcommands: [Make.self, Rotate.self, Replace.self])

    struct Make: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a file with new keys, readable by you alone. One that is there is left alone.")

        @Argument(help: "The file.")
        var path: String

        func run() throws {
            MemoryProtection.forbidDumps()
            guard SecretFile.problem(self.path)?.isMissing == true else {
                throw TicketKeysError(
                    "\"\(self.path)\" is there already; rotate or replace its keys, or name another file")
            }
            try SecretFile.write(TicketKeyFile().text, to: self.path)
            print("Made \(self.path). Copy it to the site's key holders, and name it there: tls: {ticket-keys: …}.")
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the next key make tickets; those that were made before are good for as long as they live.")

        @Argument(help: "The file.")
        var path: String

        func run() throws {
            MemoryProtection.forbidDumps()
            let file = try TicketKeyFile(contentsOf: self.path)
            try SecretFile.write(file.rotated().text, to: self.path, keepsReaders: true)
            print("Rotated \(self.path). Copy it to the site's other key holders before the next rotation.")
        }
    }

    struct Replace: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put other keys in the place of all: no ticket that was made before is good any more.")

        @Argument(help: "The file.")
        var path: String

        func run() throws {
            MemoryProtection.forbidDumps()
            _ = try TicketKeyFile(contentsOf: self.path)
            try SecretFile.write(TicketKeyFile().text, to: self.path, keepsReaders: true)
            print("Replaced all keys in \(self.path). Copy it to the site's other key holders now.")
        }
    }
}

/// Why keys were not made. The file is as it was.
private struct TicketKeysError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
