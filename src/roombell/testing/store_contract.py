"""What every store must do, as tests.

Subclass ``OwnedStoreContract``, or ``SharedStoreContract`` for a store that several workers open at once, in a test
module and give it a fixture ``make_store``: a callable that makes an unopened store, over the same storage at each
call, which is empty when a test begins. It needs pytest with pytest-asyncio in its auto mode::

    class TestMyStore(OwnedStoreContract):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "store.db")
"""

from __future__ import annotations

from roombell.testing.store_contract_by_hand import CallBackContract, FindContract, RedriveContract, UnblockContract
from roombell.testing.store_contract_lanes import AcquireContract, LeaseContract
from roombell.testing.store_contract_life import (
    EndpointContract,
    LifeContract,
    RetentionContract,
    SoleOwnerContract,
)
from roombell.testing.store_contract_shared import FleetContract, SharedContract
from roombell.testing.store_contract_writes import AcceptContract, SettleContract
from roombell.testing.store_driver import MakeStore

__all__ = ["MakeStore", "OwnedStoreContract", "SharedStoreContract", "StoreContract"]


class StoreContract(
    AcceptContract,
    SettleContract,
    AcquireContract,
    LeaseContract,
    EndpointContract,
    RetentionContract,
    FindContract,
    RedriveContract,
    CallBackContract,
    UnblockContract,
    LifeContract,
):
    """What every ``roombell.engine.ports.Store`` promises, be it one worker's alone or shared."""


class OwnedStoreContract(StoreContract, SoleOwnerContract):
    """Every promise of a store that is one worker's alone."""


class SharedStoreContract(StoreContract, SharedContract, FleetContract):
    """Every promise of a store that any number of workers have open at once."""
