from mmgen.cluster.autoscale import Autoscaler


def test_it_grows_with_the_work_and_within_its_limits() -> None:
    scaler = Autoscaler(1, 8, 10.0, 1.0, 60.0)
    assert [scaler.wanted(1, seconds, 0.0) for seconds in (0.0, 9.0, 11.0, 45.0, 500.0)] == [1, 1, 2, 5, 8]
    assert Autoscaler(0, 8, 10.0, 1.0, 60.0).wanted(0, 0.5, 0.0) == 1, "from none, for whatever there is"


def test_it_shrinks_by_one_after_a_while_of_little_work() -> None:
    scaler = Autoscaler(1, 8, 10.0, 1.0, 60.0)
    assert [scaler.wanted(3, 0.5, clock) for clock in (0.0, 59.0)] == [3, 3]
    assert scaler.wanted(3, 20.0, 59.5) == 3, "and the while begins anew"
    assert [scaler.wanted(3, 0.5, clock) for clock in (60.0, 119.0, 120.0, 121.0, 181.0)] == [3, 3, 2, 3, 2]
    assert scaler.wanted(1, 0.0, 999.0) == 1
