import ArgumentParser
import FleetBus
import FleetLink
import NIOCore
import NIOPosix
import Settings

/// What commands to a fleet have in common.
enum FleetDesks {
    static func settings(_ path: String) throws -> FleetCommandSettings {
        try Startup.settings { () throws(SettingsError) in try Settings.loadFleet(path: path) }
    }

    /// Opens a desk for as long as `body` runs. Failures are told to the user, and end the command.
    static func use<Value: Sendable>(
        _ settings: FleetCommandSettings, _ body: (FleetDesk) async throws -> Value
    ) async throws -> Value {
        let configuration = try Startup.orExit { try FleetDesk.Configuration(settings) }
        do {
            let desk = try await FleetDesk(configuration, on: MultiThreadedEventLoopGroup.singleton.any())
            do {
                let value = try await body(desk)
                await desk.close()
                return value
            } catch {
                await desk.close()
                throw error
            }
        } catch let exit as ExitCode {
            throw exit
        } catch {
            Startup.complain("error: \(error)")
            throw ExitCode.failure
        }
    }
}
