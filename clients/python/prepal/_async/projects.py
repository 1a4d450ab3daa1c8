"""The calls about projects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from prepal import _methods
from prepal._async.connection import Connection
from prepal.v1 import selector_pb2
from prepal.values.acquisition import AcquisitionParameters, built_in, custom, parameters_to_message
from prepal.values.enums import Acquisition, to_wire
from prepal.values.head import Head, logistic_to_message, mc_dropout_to_message, svm_to_message
from prepal.values.names import names
from prepal.values.numbers import count
from prepal.values.project import Project, ProjectStatus, project_from_message, status_from_message
from prepal.values.times import duration_to_message


class ProjectCalls:
    """What a client can do with projects."""

    _selector: Connection

    async def create_project(
        self,
        name: str,
        *,
        pool: str,
        labels: Sequence[str],
        acquisition: str | None = None,
        cold_start: str | None = None,
        reservation: float | timedelta | None = None,
        head: Head | None = None,
        parameters: AcquisitionParameters | None = None,
        timeout: float | None = None,
    ) -> Project:
        """Creates a project over a pool; the same call again returns the project that is there.

        Args:
            name: 1 to 128 of a-z A-Z 0-9 . _ -, beginning with a letter or digit.
            pool: the pool whose items are labeled.
            labels: 2 to 1,000 different names.
            acquisition: what `select` uses when it is not told: any `prepal.Acquisition`, or the name of an installed
                function; by default "max_entropy", for an SvmHead "margin".
            cold_start: what `select` uses while no head can be fit: "random", the default, "coreset", "kmeans",
                "typiclust" or "prob_cover".
            reservation: seconds for which selected items are reserved, 0 to 86,400; 0 switches reservations off; by
                default 600.
            head: a `prepal.LogisticHead`, the default, `prepal.McDropoutHead` or `prepal.SvmHead`.
            parameters: what acquisition functions read when `select` is not told.
            timeout: seconds; by default 60.

        Raises:
            AlreadyExists: when a project of that name has another definition.
            NotFound: when there is no such pool.
            InvalidRequest: for a bad name, fewer than two labels or a repeated one.
            FailedPrecondition: when the head cannot serve the acquisition function (HEAD_UNSUPPORTED).
            ValueError: for an unknown acquisition; the message lists those there are.

        >>> project = await client.create_project("sentiment", pool="reviews", labels=["negative", "positive"])
        >>> project.acquisition
        <Acquisition.MAX_ENTROPY: 'max_entropy'>
        """
        request = selector_pb2.CreateProjectRequest(
            name=name,
            pool=pool,
            labels=names("labels", labels),
            acquisition=built_in(acquisition),
            custom_acquisition=custom(acquisition),
            cold_start=to_wire(Acquisition, cold_start),
            reservation=duration_to_message(reservation, "reservation"),
            logistic=logistic_to_message(head),
            mc_dropout=mc_dropout_to_message(head),
            svm=svm_to_message(head),
            parameters=parameters_to_message(parameters),
        )
        response = await self._selector.call(_methods.CREATE_PROJECT, request, timeout)
        return project_from_message(response.project)

    async def get_project(self, name: str, *, timeout: float | None = None) -> ProjectStatus:
        """Returns a project's settings and counts.

        Raises:
            NotFound: when there is none of that name.

        >>> status = await client.get_project("sentiment")
        >>> status.items, status.labeled
        (4, 0)
        """
        request = selector_pb2.GetProjectRequest(project=name)
        return status_from_message(await self._selector.call(_methods.GET_PROJECT, request, timeout))

    async def projects(self, *, page_size: int = 0, timeout: float | None = None) -> AsyncIterator[Project]:
        """Yields all projects in order of name, fetching a page of them at a time.

        Args:
            page_size: projects a page, 1 to 1,000; 0 means the server's choice.
            timeout: seconds for each page; by default 60.
        """
        token = ""
        while True:
            request = selector_pb2.ListProjectsRequest(page_size=count("page_size", page_size), page_token=token)
            response = await self._selector.call(_methods.LIST_PROJECTS, request, timeout)
            for project in response.projects:
                yield project_from_message(project)
            token = response.next_page_token
            if not token:
                return

    async def update_project(
        self,
        name: str,
        *,
        add_labels: Sequence[str] = (),
        acquisition: str | None = None,
        cold_start: str | None = None,
        reservation: float | timedelta | None = None,
        head: Head | None = None,
        parameters: AcquisitionParameters | None = None,
        timeout: float | None = None,
    ) -> Project:
        """Changes a project's settings; what is left out stays as it is. Labels can be added, not removed.

        Args:
            name: the project's name.
            add_labels: labels to add after those that are there.
            acquisition: what `select` uses when it is not told.
            cold_start: what `select` uses while no head can be fit.
            reservation: seconds for which selected items are reserved; 0 switches reservations off.
            head: the new head: labels stay, and the next `select` fits it.
            parameters: what acquisition functions read from now on, instead of all that was set before.
            timeout: seconds; by default 60.

        Raises:
            NotFound: when there is no such project.
        """
        request = selector_pb2.UpdateProjectRequest(
            project=name,
            add_labels=names("add_labels", add_labels),
            acquisition=built_in(acquisition),
            custom_acquisition=custom(acquisition),
            cold_start=to_wire(Acquisition, cold_start),
            reservation=duration_to_message(reservation, "reservation"),
            logistic=logistic_to_message(head),
            mc_dropout=mc_dropout_to_message(head),
            svm=svm_to_message(head),
            parameters=parameters_to_message(parameters),
        )
        response = await self._selector.call(_methods.UPDATE_PROJECT, request, timeout)
        return project_from_message(response.project)

    async def delete_project(self, name: str, *, timeout: float | None = None) -> bool:
        """Deletes a project with its labels, head and history; returns whether there was one. The pool stays."""
        request = selector_pb2.DeleteProjectRequest(project=name)
        response = await self._selector.call(_methods.DELETE_PROJECT, request, timeout)
        return response.deleted
