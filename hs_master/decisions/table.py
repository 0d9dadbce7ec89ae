"""Which decider decides which call: the whole of what the master does, on one page."""

from hs_common.replication import calls, delayed_calls, encryption_calls, federation_calls, import_calls, remote_calls
from hs_common.replication.room_calls import DeleteRoom
from hs_common.replication.sign_on_calls import LogInAs, SetExternalIds
from hs_master.decisions import (
    accounts,
    adopting,
    appservices,
    create_room,
    delayed_events,
    delete_room,
    encryption,
    events,
    history,
    importing,
    login_as_user,
    out_of_band,
    pushers,
    receiving,
    remote_users,
    rooms,
    sessions,
    storing,
    templates,
    to_device,
    upgrade_room,
)
from hs_master.decisions.decider import Deciders
from hs_master.decisions.receiving import Preparing
from hs_master.jobs.advance import AdvanceJob, AdvanceJobDecider
from hs_master.jobs.carry_over import CarryOver, CarryOverDecider
from hs_master.jobs.delete_room import EmptyRoom, EmptyRoomDecider, PurgeRoom, PurgeRoomDecider
from hs_master.jobs.ghosts import EndGhosts, EndGhostsDecider
from hs_master.jobs.guests import RemoveGuests, RemoveGuestsDecider
from hs_master.jobs.list_members import ListMembers, ListMembersDecider
from hs_master.jobs.reveal import RevealRedactions, RevealRedactionsDecider
from hs_master.rooms.compose import Composer


def deciders(composer: Composer, server_name: str, preparing: Preparing) -> Deciders:
    appender = events.EventAppender(composer, server_name)
    return Deciders(
        room={
            calls.AppendEvents: events.AppendEventsDecider(appender),
            import_calls.AppendImported: importing.AppendImportedDecider(appender, composer),
            calls.ComposeEvent: events.ComposeEventDecider(appender),
            calls.UpgradeRoom: upgrade_room.UpgradeRoomDecider(composer, appender),
            federation_calls.ComposeTemplate: templates.ComposeTemplateDecider(composer, server_name),
            AdvanceJob: AdvanceJobDecider(appender),
            EndGhosts: EndGhostsDecider(),
            RemoveGuests: RemoveGuestsDecider(appender),
            CarryOver: CarryOverDecider(appender),
            ListMembers: ListMembersDecider(),
            DeleteRoom: delete_room.DeleteRoomDecider(server_name),
            EmptyRoom: EmptyRoomDecider(appender),
            PurgeRoom: PurgeRoomDecider(),
            encryption_calls.SendToDevice: to_device.SendToDeviceDecider(server_name),
        },
        serial={
            calls.CreateRoom: create_room.CreateRoomDecider(composer, appender),
            calls.AppendReady: receiving.AppendReadyDecider(preparing),
            federation_calls.StoreEvents: storing.StoreEventsDecider(),
            federation_calls.SweepStoredEvents: storing.SweepStoredEventsDecider(),
            federation_calls.AdoptRoom: adopting.AdoptRoomDecider(preparing),
            federation_calls.SetOutOfBandMembership: out_of_band.SetOutOfBandMembershipDecider(preparing),
            federation_calls.InsertHistory: history.InsertHistoryDecider(server_name),
            import_calls.ImportHistory: importing.ImportHistoryDecider(composer, server_name),
            RevealRedactions: RevealRedactionsDecider(preparing),
            federation_calls.ReceiveEvents: receiving.ReceiveEventsDecider(preparing),
            delayed_calls.ScheduleEvent: delayed_events.ScheduleEventDecider(),
            delayed_calls.ManageDelayedEvent: delayed_events.ManageDelayedEventDecider(),
            delayed_calls.SendDelayedEvent: delayed_events.SendDelayedEventDecider(appender, preparing),
            delayed_calls.PruneDelayedEvents: delayed_events.PruneDelayedEventsDecider(),
            calls.SetAlias: rooms.SetAliasDecider(),
            calls.DeleteAlias: rooms.DeleteAliasDecider(),
            calls.SetDirectory: rooms.SetDirectoryDecider(),
            calls.ForgetRoom: rooms.ForgetRoomDecider(),
            calls.SetReceipts: rooms.SetReceiptsDecider(),
            remote_calls.SetRemoteReceipts: remote_users.SetRemoteReceiptsDecider(),
            federation_calls.WakeDestinations: remote_users.WakeDestinationsDecider(),
            remote_calls.RemoteDevicesChanged: remote_users.RemoteDevicesChangedDecider(),
            calls.RegisterUser: accounts.RegisterUserDecider(),
            SetExternalIds: accounts.SetExternalIdsDecider(),
            calls.UpgradeGuest: accounts.UpgradeGuestDecider(),
            calls.SetPassword: accounts.SetPasswordDecider(),
            calls.SetUserState: accounts.SetUserStateDecider(),
            calls.DeactivateUser: accounts.DeactivateUserDecider(),
            calls.SetProfile: accounts.SetProfileDecider(),
            calls.SetAccountData: accounts.SetAccountDataDecider(),
            LogInAs: login_as_user.LogInAsDecider(),
            calls.OpenSession: sessions.OpenSessionDecider(),
            calls.RefreshSession: sessions.RefreshSessionDecider(),
            calls.ConfirmRefresh: sessions.ConfirmRefreshDecider(),
            calls.CloseSessions: sessions.CloseSessionsDecider(),
            calls.RenameDevice: sessions.RenameDeviceDecider(),
            calls.MakeDevice: sessions.MakeDeviceDecider(),
            encryption_calls.SetDeviceKeys: encryption.SetDeviceKeysDecider(),
            encryption_calls.SetCrossSigningKeys: encryption.SetCrossSigningKeysDecider(),
            encryption_calls.AddSignatures: encryption.AddSignaturesDecider(),
            calls.SetPusher: pushers.SetPusherDecider(),
            calls.RemovePusher: pushers.RemovePusherDecider(),
            calls.SetAppService: appservices.SetAppServiceDecider(server_name),
            calls.RemoveAppService: appservices.RemoveAppServiceDecider(server_name),
            calls.PauseAppService: appservices.PauseAppServiceDecider(server_name),
            calls.WakeAppService: appservices.WakeAppServiceDecider(server_name),
        },
    )
