# One image for the portal and the sites. docker-compose.yml sets the command and the environment of each.
FROM python:3.13-slim AS build
WORKDIR /srv
RUN python -m venv /opt/venv
COPY requirements/server.txt requirements/server.txt
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/server.txt

FROM python:3.13-slim
RUN useradd --system --create-home --home-dir /srv --uid 10001 sso
WORKDIR /srv
COPY --from=build /opt/venv /opt/venv
COPY sso_common sso_common
COPY portal portal
COPY site_a site_a
COPY site_b site_b
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER sso
EXPOSE 8000
ENTRYPOINT ["python"]
# For the portal. docker-compose.yml has the commands of the sites.
CMD ["-m", "granian", "--host", "0.0.0.0", "--port", "8000", "--interface", "wsgi", "portal.wsgi:application"]
